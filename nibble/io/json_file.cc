// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/json_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>
#include <vector>

#include "nibble/base/atomic_file.h"
#include "nibble/base/error.h"

namespace nibble {
namespace {

using nlohmann::ordered_json;

// Builds an ordered_json from parse events. The library's own builder looks every key up by linear
// search, which takes quadratic time on large or hostile objects, and knows no depth limit.
class JsonBuilder {
 public:
  JsonBuilder(std::string_view text, const std::filesystem::path& source, int max_depth)
      : text_(text), source_(source), max_depth_(static_cast<size_t>(max_depth)) {}

  ordered_json take() { return std::move(root_); }

  bool null() { return put(nullptr); }
  bool boolean(bool value) { return put(value); }
  bool number_integer(int64_t value) { return put(value); }
  bool number_unsigned(uint64_t value) { return put(value); }
  bool number_float(double value, const std::string&) { return put(value); }
  bool string(std::string& value) { return put(std::move(value)); }
  bool binary(ordered_json::binary_t&) { return false; }  // no event of text
  bool start_object(size_t) { return open(ordered_json::object()); }
  bool start_array(size_t) { return open(ordered_json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(std::string& value) {
    open_.back().key = std::move(value);
    return true;
  }

  bool parse_error(size_t position, const std::string&, const std::exception& failure) {
    // `position` counts the bytes read, the offending one included.
    const size_t at = std::min(position > 0 ? position - 1 : 0, text_.size());
    const std::string_view before = text_.substr(0, at);
    const size_t line_begin = before.rfind('\n') + 1;  // npos + 1 is 0
    throw Error("file is not valid JSON")
        .file(source_)
        .got(fmt::format("line {}, column {}: {}",
                         1 + std::count(before.begin(), before.end(), '\n'), at - line_begin + 1,
                         reason(failure.what())))
        .at_byte(static_cast<int64_t>(at));
  }

 private:
  using Members = ordered_json::object_t::Container;  // a vector of pairs

  struct Open {
    ordered_json value;
    std::string key;                                 // of the member that comes next
    std::unordered_map<std::string, size_t> places;  // of the members, by key
  };

  // The library's message without its own id and position, which parse_error() gives.
  static std::string reason(std::string_view what) {
    if (const size_t at = what.find("] "); at != what.npos) what.remove_prefix(at + 2);
    if (what.starts_with("parse error at ")) {
      if (const size_t at = what.find(": "); at != what.npos) what.remove_prefix(at + 2);
    }
    return std::string(what);
  }

  bool open(ordered_json empty) {
    if (open_.size() >= max_depth_) {
      throw Error("JSON is nested too deeply")
          .file(source_)
          .expected(fmt::format("at most {} levels", max_depth_));
    }
    open_.push_back({std::move(empty), {}, {}});
    return true;
  }

  bool close() {
    ordered_json value = std::move(open_.back().value);
    open_.pop_back();
    return put(std::move(value));
  }

  bool put(ordered_json value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (Open& top = open_.back(); top.value.is_array()) {
      top.value.push_back(std::move(value));
    } else {
      Members& members = top.value.get_ref<ordered_json::object_t&>();
      const auto [place, fresh] = top.places.try_emplace(top.key, members.size());
      if (fresh) {
        members.emplace_back(std::move(top.key), std::move(value));
      } else {
        members[place->second].second = std::move(value);
      }
    }
    return true;
  }

  std::string_view text_;
  const std::filesystem::path& source_;
  size_t max_depth_;
  std::vector<Open> open_;
  ordered_json root_;
};

// dump() would write null for them, and so change the file's meaning.
void require_finite(const ordered_json& value) {
  if (value.is_structured()) {
    for (const ordered_json& item : value) require_finite(item);
  } else if (value.is_number_float() && !std::isfinite(value.get<double>())) {
    throw Error("number cannot be written as JSON").expected("a finite number");
  }
}

}  // namespace

ordered_json parse_json(std::string_view text, const std::filesystem::path& source,
                        JsonLimits limits) {
  JsonBuilder builder(text, source, limits.max_depth);
  ordered_json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

ordered_json read_json_file(const std::filesystem::path& path, JsonLimits limits) {
  return parse_json(read_text_file(path, limits.max_bytes), path, limits);
}

std::string format_json(const ordered_json& value) {
  require_finite(value);
  try {
    return value.dump(2, ' ', /*ensure_ascii=*/true) + '\n';
  } catch (const ordered_json::type_error&) {
    throw Error("text cannot be written as JSON").expected("UTF-8");
  }
}

void write_json_file(const std::filesystem::path& path, const ordered_json& value) {
  write_file_atomically(path, format_json(value));
}

}  // namespace nibble
