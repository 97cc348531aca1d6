// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/jinja/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nibble/base/utf8.h"

namespace nibble::jinja {
namespace {

void append_character(std::string& out, char32_t c, bool ensure_ascii) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    default:
      break;
  }
  const auto code = static_cast<uint32_t>(c);
  if (code >= 0x20 && (code < 0x80 || !ensure_ascii)) {
    append_utf8(out, c);
  } else if (code < 0x10000) {
    out += fmt::format("\\u{:04x}", code);
  } else {
    out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((code - 0x10000) >> 10),
                       0xDC00 + ((code - 0x10000) & 0x3FF));
  }
}

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, Budget& budget) : style_(style), budget_(budget) {}

  void write(const Value& value) {
    budget_.spend_steps(1);
    if (const Text* text = value.text()) {
      budget_.spend_bytes(text->size() * kEscapingCost);
      return put(quoted(*text));
    }
    if (const Dict* dict = value.as_dict()) return write_dict(*dict);
    if (value.is_kind(Sequence::Kind::kList) || value.is_kind(Sequence::Kind::kTuple)) {
      return write_list(value.seq()->items);
    }
    put(scalar(value));
  }

  Text take() { return std::move(out_); }

 private:
  static std::string scalar(const Value& value) {
    if (value.is_none()) return "null";
    if (const bool* b = value.get<bool>()) return *b ? "true" : "false";
    if (const int64_t* i = value.get<int64_t>()) return fmt::format("{}", *i);
    if (const double* d = value.get<double>()) {
      if (std::isnan(*d)) return "NaN";
      if (std::isinf(*d)) return *d < 0 ? "-Infinity" : "Infinity";
      return float_repr(*d);
    }
    throw Error(fmt::format("a value of type {} can not be written as JSON", type_name(value)));
  }

  // Bytes that stand for themselves, alone or as a part of a character.
  bool is_plain(char c) const {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 && byte != '"' && byte != '\\' && (byte < 0x80 || !style_.ensure_ascii);
  }

  Text quoted(const Text& text) const {
    Text out;
    out.append("\"");
    text.for_each_run([&](std::string_view run, TextOrigin origin) {
      std::string escaped;
      for (size_t at = 0; at < run.size();) {
        const size_t plain = at;
        while (at < run.size() && is_plain(run[at])) ++at;
        escaped += run.substr(plain, at - plain);
        if (at < run.size())
          append_character(escaped, next_code_point(run, at), style_.ensure_ascii);
      }
      out.append(escaped, origin);
    });
    out.append("\"");
    return out;
  }

  void write_list(const std::vector<Value>& items) {
    if (items.empty()) return put("[]");
    put("[");
    ++level_;
    for (size_t i = 0; i < items.size(); ++i) {
      break_line(i);
      write(items[i]);
    }
    end_block("]");
  }

  void write_dict(const Dict& dict) {
    if (dict.entries.empty()) return put("{}");
    std::vector<const std::pair<Value, Value>*> entries;
    for (const auto& entry : dict.entries) entries.push_back(&entry);
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(), [&](const auto* a, const auto* b) {
        return less(a->first, b->first, budget_);
      });
    }
    put("{");
    ++level_;
    for (size_t i = 0; i < entries.size(); ++i) {
      break_line(i);
      write_key(entries[i]->first);
      put(style_.key_separator);
      write(entries[i]->second);
    }
    end_block("}");
  }

  void write_key(const Value& key) {
    if (key.text()) return put(quoted(*key.text()));
    if (key.seq()) throw Error("a tuple can not be a key in JSON");
    put("\"" + scalar(key) + "\"");
  }

  void break_line(size_t item) {
    if (item > 0) put(style_.item_separator);
    new_line();
  }
  void end_block(std::string_view closer) {
    --level_;
    new_line();
    put(closer);
  }
  void new_line() {
    if (!style_.indent) return;
    put("\n");
    for (int i = 0; i < level_; ++i) put(*style_.indent);
  }

  void put(const Text& text) {
    budget_.spend_bytes(text.size());
    out_.append(text);
    budget_.check_string(out_.size());
  }
  void put(std::string_view text) { put(Text(std::string(text))); }

  const JsonStyle& style_;
  Budget& budget_;
  Text out_;
  int level_ = 0;
};

}  // namespace

Text to_json(const Value& value, const JsonStyle& style, Budget& budget) {
  JsonWriter writer(style, budget);
  writer.write(value);
  return writer.take();
}

}  // namespace nibble::jinja
