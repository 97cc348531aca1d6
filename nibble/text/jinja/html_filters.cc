// SPDX-License-Identifier: Apache-2.0
//
// Filters for HTML and URLs. What they return is markup where Jinja2's is.
#include <fmt/format.h>

#include <charconv>

#include "nibble/base/utf8.h"
#include "nibble/text/jinja/filters.h"
#include "nibble/text/jinja/interpreter.h"
#include "nibble/text/jinja/string_methods.h"

namespace nibble::jinja {
namespace {

template <Text (*change)(const Text&)>
Value changed(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments none("an HTML filter", given, {});
  const Text text = to_text(subject, run.budget());
  run.budget().spend_bytes(text.size() * kEscapingCost);
  return change(text);
}

Text safe(const Text& text) { return text.as_markup(); }

// Percent signs for all bytes but letters, digits, "_.-~" and, when wanted, '/'.
Text quoted(const Text& text, bool in_query) {
  Text out;
  text.for_each_run([&](std::string_view run, TextOrigin origin) {
    std::string bytes;
    for (const char c : run) {
      const auto byte = static_cast<unsigned char>(c);
      if (isalnum(byte) || std::string_view("_.-~").find(c) != std::string_view::npos ||
          (c == '/' && !in_query)) {
        bytes += c;
      } else if (c == ' ' && in_query) {
        bytes += '+';
      } else {
        bytes += '%';
        bytes += "0123456789ABCDEF"[byte >> 4];
        bytes += "0123456789ABCDEF"[byte & 15];
      }
    }
    out.append(bytes, origin);
  });
  return out;
}

Value urlencode(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments none("urlencode", given, {});
  const auto part = [&](const Value& value, bool in_query) {
    const Text text = to_text(value, run.budget());
    run.budget().spend_bytes(text.size() * kEscapingCost);
    return quoted(text, in_query);
  };
  if (subject.text() || !is_iterable(subject)) return part(subject, false);
  std::vector<Text> parts;
  const Value pairs =
      subject.as_dict() ? run.call(get_attribute(subject, "items", run.budget()), {}) : subject;
  const Puller pull = iterate(pairs, run.budget());
  while (const auto pair = pull()) {
    const std::vector<Value> items = to_items(*pair, run.budget());
    if (items.size() != 2) throw Error("urlencode needs pairs of a key and a value");
    Text one = part(items[0], true);
    one.append("=");
    one.append(part(items[1], true));
    parts.push_back(std::move(one));
  }
  return join_texts(Text(std::string("&")), parts, run.budget());
}

Value xmlattr(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments args("xmlattr", given, {"autospace"});
  require_defined(subject);
  if (!subject.as_dict()) {
    throw Error(fmt::format("xmlattr needs a dict, not {}", type_name(subject)));
  }
  std::vector<Text> parts;
  for (const auto& [key, value] : subject.as_dict()->entries) {
    if (value.is_none() || value.is_undefined()) continue;
    const Text* name = key.text();
    if (!name) throw Error("xmlattr needs strings as keys");
    for (size_t at = 0; at < name->size();) {
      const char32_t c = next_code_point(name->bytes(), at);
      if (is_python_space(c) || c == '/' || c == '>' || c == '=') {
        throw Error("xmlattr got a key that is no attribute name");
      }
    }
    Text part = escape(*name);
    part.append("=\"");
    part.append(escape(to_text(value, run.budget())));
    part.append("\"");
    run.budget().spend_bytes(part.size() * kEscapingCost);
    parts.push_back(std::move(part));
  }
  Text out;
  if (args.flag(0, true) && !parts.empty()) out.append(" ");
  out.append(join_texts(Text(std::string(" ")), parts, run.budget()));
  return run.autoescape() ? out.as_markup() : out.as_plain();
}

// The character of an entity's name: "lt", "#39", "#x27". Of HTML5's 2,231 names those of XML.
std::optional<char32_t> entity(std::string_view name) {
  constexpr std::pair<std::string_view, char32_t> kNames[] = {
      {"amp", U'&'}, {"lt", U'<'}, {"gt", U'>'}, {"quot", U'"'}, {"apos", U'\''}, {"nbsp", 0xA0}};
  for (const auto& [known, c] : kNames) {
    if (name == known) return c;
  }
  if (!name.starts_with('#')) return std::nullopt;
  const bool hex = name.size() > 1 && (name[1] == 'x' || name[1] == 'X');
  uint32_t code = 0;
  const char* first = name.data() + (hex ? 2 : 1);
  const char* last = name.data() + name.size();
  const auto end = std::from_chars(first, last, code, hex ? 16 : 10);
  if (first == last || end.ptr != last || end.ec != std::errc() || code < 0x20 || code > 0x10FFFF ||
      (code >= 0x7F && code < 0xA0) || (code >= 0xD800 && code < 0xE000)) {
    return std::nullopt;
  }
  return code;
}

Text unescaped(const Text& text) {
  Text out;
  text.for_each_run([&](std::string_view run, TextOrigin origin) {
    std::string bytes;
    for (size_t at = 0; at < run.size();) {
      const size_t end = run[at] == '&' ? run.substr(at, 12).find(';') : std::string_view::npos;
      const auto c =
          end == std::string_view::npos ? std::nullopt : entity(run.substr(at + 1, end - 1));
      if (c) {
        append_utf8(bytes, *c);
        at += end + 1;
      } else {
        bytes += run[at++];
      }
    }
    out.append(bytes, origin);
  });
  return out;
}

// Tags and comments go; white space becomes single spaces; entities become characters.
Value striptags(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments none("striptags", given, {});
  const Text text = to_text(subject, run.budget()).as_plain();
  run.budget().spend_bytes(text.size() * kEscapingCost);
  const std::string& bytes = text.bytes();
  Text kept;
  size_t done = 0;
  for (size_t start; (start = bytes.find('<', done)) != std::string::npos;) {
    const bool comment = bytes.compare(start, 4, "<!--") == 0;
    const size_t end = comment ? bytes.find("-->", start + 4) : bytes.find('>', start);
    if (end == std::string::npos) break;
    kept.append(text, done, start);
    done = end + (comment ? 3 : 1);
  }
  kept.append(text, done, text.size());
  return unescaped(join_texts(Text(std::string(" ")), split_at_space(kept, -1, false, run.budget()),
                              run.budget()));
}

constexpr FilterEntry kHtmlFilters[] = {
    {"safe", changed<safe>},  {"escape", changed<escape>},
    {"e", changed<escape>},   {"forceescape", changed<escape_html>},
    {"striptags", striptags}, {"urlencode", urlencode},
    {"xmlattr", xmlattr},     {"urlize", urlize},
};

}  // namespace

std::span<const FilterEntry> html_filters() { return kHtmlFilters; }

}  // namespace nibble::jinja
