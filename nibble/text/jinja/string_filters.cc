// SPDX-License-Identifier: Apache-2.0
//
// Filters on strings. Most take any value and look at what it prints as.
#include <fmt/format.h>

#include "nibble/base/utf8.h"
#include "nibble/text/jinja/filters.h"
#include "nibble/text/jinja/format.h"
#include "nibble/text/jinja/interpreter.h"
#include "nibble/text/jinja/string_methods.h"

namespace nibble::jinja {
namespace {

template <Text (*change)(const Text&), size_t cost = 1, bool keeps_markup = true>
Value changed(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments none("a string filter", given, {});
  const Text text = to_text(subject, run.budget());
  run.budget().spend_bytes(text.size() * cost);
  return text.is_markup() && keeps_markup ? change(text).as_markup() : change(text);
}

Text same(const Text& text) { return text; }

// Jinja2's own title: a capital after white space and opening brackets and hyphens only.
Text title(const Text& text) {
  const std::string& bytes = text.bytes();
  Text out;
  size_t begin = 0;
  const auto flush = [&](size_t end) {
    const size_t head =
        std::min(begin + byte_offset(std::string_view(bytes).substr(begin), 1), end);
    out.append(to_upper(text.substr(begin, head)));
    out.append(to_lower(text.substr(head, end)));
  };
  for (size_t at = 0; at < bytes.size();) {
    const size_t here = at;
    const char32_t c = next_code_point(bytes, at);
    if (!is_python_space(c) && std::u32string_view(U"-({[<").find(c) == std::u32string_view::npos)
      continue;
    if (here > begin) flush(here);
    out.append(text, here, at);
    begin = at;
  }
  if (begin < bytes.size()) flush(bytes.size());
  return out;
}

Value trim(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments args("trim", given, {"chars"});
  const std::string* characters = args.given(0) ? &args.text(0).bytes() : nullptr;
  return strip_left(strip_right(to_text(subject, run.budget()), characters), characters);
}

Value replace(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments args("replace", given, {"old", "new", "count"}, 2);
  const Text old = to_text(*args[0], run.budget()), fresh = to_text(*args[1], run.budget());
  const int64_t count = args.given(2) ? args.integer(2, -1) : -1;
  const Text text = to_text(subject, run.budget());
  if (!run.autoescape()) return replace_text(text, old, fresh, count, run.budget()).as_plain();
  const bool escapes = old.is_markup() || (fresh.is_markup() && !text.is_markup());
  const Text subject_text = escapes ? escape(text) : text;
  const bool markup = subject_text.is_markup();
  const Text out =
      replace_text(subject_text, old, markup ? escape(fresh) : fresh, count, run.budget());
  return markup ? out.as_markup() : out.as_plain();
}

Value indent(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments args("indent", given, {"width", "first", "blank"});
  require_defined(subject);
  if (!subject.text())
    throw Error(fmt::format("indent needs a string, not {}", type_name(subject)));
  Text margin;
  if (args[0] && args[0]->text()) {
    margin = *args[0]->text();
  } else {
    const int64_t width = std::max<int64_t>(args.integer(0, 4), 0);
    run.budget().spend_string(static_cast<size_t>(width));
    margin = Text(std::string(static_cast<size_t>(width), ' '));
  }
  Text ended = *subject.text();
  ended.append("\n");
  run.budget().spend_bytes(ended.size());
  std::vector<Text> lines = split_lines(ended, false, run.budget());
  for (size_t i = 0; i < lines.size(); ++i) {
    const bool wanted = i == 0 ? args.flag(1) : args.flag(2) || !lines[i].empty();
    if (!wanted) continue;
    run.budget().spend_bytes(margin.size() + lines[i].size());
    Text line = margin;
    line.append(lines[i]);
    lines[i] = std::move(line);
  }
  return join_texts(Text(std::string("\n")), lines, run.budget());
}

Value format(Interpreter& run, const Value& subject, const Arguments& given) {
  if (!given.positional.empty() && !given.named.empty()) {
    throw Error("format takes values by place or by name, not both");
  }
  const Text text = to_text(subject, run.budget());
  if (given.named.empty())
    return format_percent(text, Value::tuple(given.positional), run.budget());
  Dict names;
  for (const auto& [name, value] : given.named) names.set(Value(name), value, run.budget());
  return format_percent(text, Value::dict(std::move(names)), run.budget());
}

Value center(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments args("center", given, {"width"});
  const Value text = to_text(subject, run.budget());
  return run.call(get_attribute(text, "center", run.budget()), {{Value(args.integer(0, 80))}, {}});
}

Value truncate(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments args("truncate", given, {"length", "killwords", "end", "leeway"});
  const Value end = args[2] ? *args[2] : Value("...");
  // Fractions will do until something must be cut.
  const auto number = [&](const Value* value, double fallback) {
    if (!value) return fallback;
    require_defined(*value);
    const auto held = as_number(*value);
    if (!held) throw Error(fmt::format("truncate needs a number, not {}", type_name(*value)));
    return *held;
  };
  const double length = number(args[0], 255), leeway = number(args.given(3), 5);
  const auto end_length = length_of(end);
  if (!end_length || length < static_cast<double>(*end_length) || leeway < 0)
    throw Error("truncate is asked for a length that is too short");
  const auto size = length_of(subject);
  if (!size) throw Error(fmt::format("truncate needs a string, not {}", type_name(subject)));
  if (static_cast<double>(*size) <= length + leeway) return subject;
  require_defined(end);
  if (!subject.text() || !end.text()) throw Error("truncate needs strings");
  const Text& text = *subject.text();
  run.budget().spend_bytes(text.size() * 2);
  const int64_t kept = args.integer(0, 255) - *end_length;
  Text out = text.substr(0, byte_offset(text.bytes(), static_cast<size_t>(kept)));
  if (!args.flag(1)) {
    const size_t space = out.bytes().rfind(' ');
    if (space != std::string::npos) out = out.substr(0, space);
  }
  return binary_operation(ast::BinaryOp::kAdd, Value(std::move(out)), end, run.budget());
}

Value word_count(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments none("wordcount", given, {});
  const Text text = to_text(subject, run.budget());
  run.budget().spend_bytes(text.size() * kCaseMappingCost);
  int64_t count = 0;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    const bool word = is_python_word(next_code_point(text.bytes(), at));
    count += word && !inside;
    inside = word;
  }
  return count;
}

constexpr FilterEntry kStringFilters[] = {
    {"string", changed<same>},
    {"upper", changed<to_upper, kCaseMappingCost>},
    {"lower", changed<to_lower, kCaseMappingCost>},
    {"capitalize", changed<to_capitalized, kCaseMappingCost>},
    {"title", changed<title, kTitleCost, false>},
    {"trim", trim},
    {"replace", replace},
    {"indent", indent},
    {"format", format},
    {"center", center},
    {"truncate", truncate},
    {"wordcount", word_count},
    {"wordwrap", word_wrap},
};

}  // namespace

std::span<const FilterEntry> string_filters() { return kStringFilters; }

}  // namespace nibble::jinja
