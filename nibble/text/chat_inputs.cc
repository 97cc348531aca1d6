// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/chat_inputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "nibble/base/error.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;
using jinja::Text;

constexpr std::array<const char*, 3> kReasoningFields = {"reasoning_content", "thinking",
                                                         "reasoning"};

// Stands at the end of the text to continue while the template runs; some templates trim its space.
constexpr std::string_view kEndMark = "CONTINUE_FINAL_MESSAGE_TAG ";
constexpr std::string_view kTrimmedEndMark = kEndMark.substr(0, kEndMark.size() - 1);

bool present(const Json& object, const std::string& key) {
  return object.contains(key) && !object[key].is_null();
}

// Models disagree on the name of this field; templates read the first of them, some "thinking".
Json with_reasoning(Json message) {
  const auto* const field =
      std::ranges::find_if(kReasoningFields, [&](const char* f) { return present(message, f); });
  if (field == kReasoningFields.end()) return message;
  const Json reasoning = message[*field];
  Json out = {{"thinking", reasoning}};
  for (auto& [key, value] : message.items()) out[key] = std::move(value);
  out["reasoning_content"] = reasoning;
  return out;
}

Json prepared(const Json& message) {
  if (!message.is_object()) {
    throw Error("a chat message is not an object").expected("{\"role\": ..., \"content\": ...}");
  }
  Json out = Json::object();
  for (const auto& [key, value] : message.items()) {
    if (!value.is_null()) out[key] = value;
  }
  return with_reasoning(std::move(out));
}

std::string stripped(std::string_view text) {
  return jinja::strip_left(jinja::strip_right(Text(std::string(text)))).bytes();
}

}  // namespace

PreparedChat::PreparedChat(const ChatTemplateInputs& inputs, std::string_view source)
    : messages_(Json::array()) {
  if (!inputs.messages.is_array()) throw Error("chat messages are not a list");
  for (const Json& message : inputs.messages) messages_.push_back(prepared(message));
  if (!inputs.documents.is_null()) {
    if (!inputs.documents.is_array() ||
        !std::ranges::all_of(inputs.documents, [](const Json& d) { return d.is_object(); })) {
      throw Error("the documents of a chat are not a list of objects")
          .expected("[{\"title\": ..., \"text\": ...}]");
    }
  }
  if (!inputs.tools.is_null()) {
    if (!inputs.tools.is_array() ||
        !std::ranges::all_of(inputs.tools, [](const Json& t) { return t.is_object(); })) {
      throw Error("the tools of a chat are not a list of JSON schemas");
    }
  }
  if (!inputs.continue_final_message.empty()) {
    if (inputs.add_generation_prompt) {
      throw Error("a chat can not both continue its last message and begin a new one")
          .hint("unset add_generation_prompt or continue_final_message");
    }
    mark_end_of_last_message(inputs.continue_final_message, source);
  }
}

void PreparedChat::mark_end_of_last_message(const std::string& field, std::string_view source) {
  if (messages_.empty()) throw Error("there is no message to continue");
  Json& last = messages_.back();
  if (!present(last, field)) {
    throw Error(fmt::format("the last message has no \"{}\" to continue", field));
  }
  // Reasoning stands under several names: the template reads one of them.
  std::vector<std::string> fields = {field};
  if (std::ranges::find(kReasoningFields, field) != kReasoningFields.end()) {
    fields.clear();
    for (const char* name : kReasoningFields) {
      if (present(last, name) && last[name] == last[field]) fields.emplace_back(name);
    }
  }
  if (std::ranges::none_of(fields, [&](const std::string& name) {
        return source.find(name) != std::string_view::npos;
      })) {
    throw Error(fmt::format("the chat template does not read \"{}\" of a message", field));
  }
  Json* text = &last[field];
  if (text->is_array()) {
    const auto part = std::find_if(text->rbegin(), text->rend(), [](const Json& p) {
      return p.is_object() && p.contains("text") && p["text"].is_string();
    });
    if (part == text->rend()) throw Error("the last message has no text to continue");
    text = &(*part)["text"];
    fields.clear();
  }
  if (!text->is_string()) throw Error("what is to be continued is not a text");
  last_text_ = text->get<std::string>();
  const Json marked = last_text_ + std::string(kEndMark);
  *text = marked;
  for (const std::string& name : fields) last[name] = marked;
  continues_ = true;
}

Text PreparedChat::finish(const Text& rendered) const {
  if (!continues_) return rendered;
  const std::string& bytes = rendered.bytes();
  const size_t end = bytes.rfind(kTrimmedEndMark);
  if (end == std::string::npos || bytes.find(stripped(last_text_)) == std::string::npos) {
    throw Error("the chat template leaves the message out that is to be continued");
  }
  const Text kept = rendered.substr(0, end);
  const bool trimmed = bytes.compare(end, kEndMark.size(), kEndMark) != 0;
  return trimmed ? jinja::strip_right(kept) : kept;
}

}  // namespace nibble
