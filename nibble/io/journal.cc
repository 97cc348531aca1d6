// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/journal.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "nibble/base/atomic_file.h"
#include "nibble/base/error.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kVersionKey = "nibble_journal";
constexpr int kVersion = 1;  // to be raised when the same job would write other bytes
constexpr const char* kKinds[] = {"tensor", "alone", "shard", "step", "commit"};  // as in Kind

std::string line_of(const Json& json) {
  return json.dump(-1, ' ', true, Json::error_handler_t::replace) + '\n';
}

// Throws one of Json's exceptions, or Error, on anything but what append() writes.
JournalEvent parse_event(const Json& json) {
  JournalEvent event;
  const std::string kind = json.at("kind");
  const auto* const found = std::find(std::begin(kKinds), std::end(kKinds), kind);
  if (found == std::end(kKinds)) throw Error("journal has an unknown event").got(kind);
  event.kind = static_cast<JournalEvent::Kind>(found - std::begin(kKinds));
  if (event.kind == JournalEvent::Kind::kTensor || event.kind == JournalEvent::Kind::kAlone) {
    const std::string dtype = json.at("dtype");
    const auto known = dtype_from_safetensors(dtype);
    if (!known) throw Error("journal has an unknown dtype").got(dtype);
    event.spec = {json.at("name"), *known, json.at("shape").get<Shape>()};
    checked_numel(event.spec.shape, size_of(*known));
    event.checksum = json.at("checksum");
  } else if (event.kind == JournalEvent::Kind::kStep) {
    event.name = json.at("name");
  } else if (event.kind == JournalEvent::Kind::kCommit) {
    event.name = json.at("folder");
    event.files = json.at("files").get<std::vector<std::string>>();
  }
  return event;
}

}  // namespace

Journal Journal::create(const std::filesystem::path& path, const JobDescription& job) {
  Journal journal(FileHandle::create(path));
  journal.file_.append(line_of({{kVersionKey, kVersion}, {"job", job}}));
  return journal;
}

std::optional<Journal::Story> Journal::read(const std::filesystem::path& path) {
  if (!std::filesystem::is_regular_file(path)) return std::nullopt;
  const std::string text = read_text_file(path);
  Story story;
  bool has_head = false;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    if (end == text.npos) break;
    try {
      const Json json = Json::parse(text.begin() + static_cast<std::ptrdiff_t>(begin),
                                    text.begin() + static_cast<std::ptrdiff_t>(end));
      if (has_head) {
        story.events.push_back(parse_event(json));
        story.events.back().offset = static_cast<int64_t>(begin);
      } else {
        if (json.at(kVersionKey) != kVersion) return std::nullopt;
        story.job = json.at("job").get<JobDescription>();
        has_head = true;
      }
    } catch (const Json::exception&) {
      break;
    } catch (const Error&) {
      break;
    }
    begin = end + 1;
    story.size = static_cast<int64_t>(begin);
  }
  if (!has_head) return std::nullopt;
  return story;
}

Journal Journal::resume(const std::filesystem::path& path, int64_t size) {
  Journal journal(FileHandle::reopen(path));
  journal.file_.truncate(size);
  return journal;
}

void Journal::append(const JournalEvent& event) {
  Json json = {{"kind", kKinds[static_cast<size_t>(event.kind)]}};
  if (event.kind == JournalEvent::Kind::kTensor || event.kind == JournalEvent::Kind::kAlone) {
    json["name"] = event.spec.name;
    json["dtype"] = safetensors_name(event.spec.dtype);
    json["shape"] = event.spec.shape;
    json["checksum"] = event.checksum;
  } else if (event.kind == JournalEvent::Kind::kStep) {
    json["name"] = event.name;
  } else if (event.kind == JournalEvent::Kind::kCommit) {
    json["folder"] = event.name;
    json["files"] = event.files;
  }
  file_.append(line_of(json));  // one write
}

}  // namespace nibble
