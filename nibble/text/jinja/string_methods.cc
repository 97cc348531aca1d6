// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/jinja/string_methods.h"

#include <algorithm>

#include "nibble/base/utf8.h"
#include "nibble/text/jinja/format.h"
#include "nibble/text/jinja/interpreter.h"

namespace nibble::jinja {
namespace {

constexpr size_t kNone = std::string::npos;

const Text& self_text(Interpreter& run, const Value& self) {
  run.budget().spend_bytes(self.text()->size());  // every method reads its string about once
  return *self.text();
}

template <bool left, bool right>
Value strip(Interpreter& run, const Value& self, const Arguments& given) {
  const BoundArguments args("strip()", given, {"chars"});
  const std::string* characters = args.given(0) ? &args.text(0).bytes() : nullptr;
  Text text = self_text(run, self);
  // Each character that goes is looked up among the given ones.
  if (characters) run.budget().spend_bytes(text.size() * std::min<size_t>(characters->size(), 64));
  if (left) text = strip_left(text, characters);
  return right ? strip_right(text, characters) : text;
}

// The part of a string that str.find(sub, start, end) and its kin look at, in bytes.
struct Window {
  size_t begin, end;
  bool valid;  // false when start lies behind end
};
Window window(const Text& text, const BoundArguments& args, size_t first) {
  if (!args.given(first) && !args.given(first + 1)) return {0, text.size(), true};
  const auto length = static_cast<int64_t>(length_in_code_points(text.bytes()));
  const auto bound = [&](size_t i, int64_t fallback) {
    int64_t at = args.given(i) ? args.integer(i, 0) : fallback;
    if (at < 0) at = std::max<int64_t>(at + length, 0);
    return at;
  };
  const int64_t start = bound(first, 0), stop = std::min(bound(first + 1, length), length);
  if (start > stop) return {0, 0, false};
  return {byte_offset(text.bytes(), static_cast<size_t>(start)),
          byte_offset(text.bytes(), static_cast<size_t>(stop)), true};
}

int64_t find_in(Interpreter& run, const Value& self, const BoundArguments& args, bool from_right) {
  const Text& text = self_text(run, self);
  const std::string& needle = args.text(0).bytes();
  const Window w = window(text, args, 1);
  if (!w.valid) return -1;
  const std::string_view view = std::string_view(text.bytes()).substr(w.begin, w.end - w.begin);
  if (from_right) run.budget().spend_bytes(view.size() * std::min<size_t>(needle.size() + 1, 4096));
  const size_t hit = from_right ? view.rfind(needle) : find_bytes(view, needle, 0);
  if (hit == kNone) return -1;
  return static_cast<int64_t>(
      length_in_code_points(std::string_view(text.bytes()).substr(0, w.begin + hit)));
}

template <bool from_right, bool must_exist>
Value find(Interpreter& run, const Value& self, const Arguments& given) {
  const BoundArguments args("find()", given, {"sub", "start", "end"}, 1);
  const int64_t at = find_in(run, self, args, from_right);
  if (must_exist && at < 0) throw Error("index() did not find the string");
  return at;
}

Value count(Interpreter& run, const Value& self, const Arguments& given) {
  const BoundArguments args("count()", given, {"sub", "start", "end"}, 1);
  const Text& text = self_text(run, self);
  const std::string& needle = args.text(0).bytes();
  const Window w = window(text, args, 1);
  if (!w.valid) return int64_t{0};
  const std::string_view view = std::string_view(text.bytes()).substr(w.begin, w.end - w.begin);
  if (needle.empty()) return static_cast<int64_t>(length_in_code_points(view)) + 1;
  int64_t hits = 0;
  for (size_t at = 0; (at = find_bytes(view, needle, at)) != kNone; at += needle.size()) ++hits;
  return hits;
}

template <bool at_end>
Value has_affix(Interpreter& run, const Value& self, const Arguments& given) {
  const BoundArguments args("startswith()", given, {"prefix", "start", "end"}, 1);
  const Text& text = self_text(run, self);
  const Window w = window(text, args, 1);
  const std::string_view view = std::string_view(text.bytes()).substr(w.begin, w.end - w.begin);
  const auto matches = [&](const Value& affix) {
    if (!affix.text()) throw Error("startswith() and endswith() need a string or a tuple of them");
    const std::string& bytes = affix.text()->bytes();
    return w.valid && (at_end ? view.ends_with(bytes) : view.starts_with(bytes));
  };
  if (!args[0]->is_kind(Sequence::Kind::kTuple)) return matches(*args[0]);
  const auto& affixes = args[0]->seq()->items;
  return std::any_of(affixes.begin(), affixes.end(), matches);
}

template <bool at_end>
Value remove_affix(Interpreter& run, const Value& self, const Arguments& given) {
  const BoundArguments args("removeprefix()", given, {"prefix"}, 1);
  const Text& text = self_text(run, self);
  const std::string& affix = args.text(0).bytes();
  if (at_end ? !text.bytes().ends_with(affix) : !text.bytes().starts_with(affix)) return text;
  return at_end ? text.substr(0, text.size() - affix.size())
                : text.substr(affix.size(), text.size());
}

Value replace_method(Interpreter& run, const Value& self, const Arguments& given) {
  const BoundArguments args("replace()", given, {"old", "new", "count"}, 2);
  return replace_text(self_text(run, self), args.text(0), args.text(1), args.integer(2, -1),
                      run.budget());
}

Value list_of(const std::vector<Text>& parts) {
  return Value::list(std::vector<Value>(parts.begin(), parts.end()));
}

// Byte offsets of the words between runs of white space.
struct Word {
  size_t begin, end;
};
std::vector<Word> words(const std::string& bytes) {
  std::vector<Word> found;
  bool inside = false;
  for (size_t at = 0; at < bytes.size();) {
    const size_t begin = at;
    const bool space = is_python_space(next_code_point(bytes, at));
    if (!space && !inside) found.push_back({begin, at});
    if (!space) found.back().end = at;
    inside = !space;
  }
  return found;
}

std::vector<Text> split_at(const Text& text, const std::string& separator, int64_t limit,
                           Budget& budget) {
  std::vector<Text> parts;
  size_t begin = 0;
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t hit = find_bytes(text.bytes(), separator, begin);
    if (hit == kNone) break;
    budget.spend_steps(1);
    parts.push_back(text.substr(begin, hit));
    begin = hit + separator.size();
  }
  parts.push_back(text.substr(begin, text.size()));
  return parts;
}

std::vector<Text> rsplit_at(const Text& text, const std::string& separator, int64_t limit,
                            Budget& budget) {
  std::vector<Text> parts;
  std::string_view head = text.bytes();
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    budget.spend_bytes(separator.size());
    const size_t hit = head.rfind(separator);
    if (hit == kNone) break;
    budget.spend_steps(1);
    parts.push_back(text.substr(hit + separator.size(), head.size()));
    head = head.substr(0, hit);
  }
  parts.push_back(text.substr(0, head.size()));
  std::reverse(parts.begin(), parts.end());
  return parts;
}

template <bool from_right>
Value split(Interpreter& run, const Value& self, const Arguments& given) {
  const BoundArguments args("split()", given, {"sep", "maxsplit"});
  const Text& text = self_text(run, self);
  const int64_t limit = args.integer(1, -1);
  if (!args.given(0)) {
    return list_of(split_at_space(text, limit, from_right, run.budget()));
  }
  const std::string& separator = args.text(0).bytes();
  if (separator.empty()) throw Error("split() needs a separator that is not empty");
  if (from_right && limit >= 0) {
    run.budget().spend_bytes(text.size() * std::min<size_t>(separator.size(), 4096));
    return list_of(rsplit_at(text, separator, limit, run.budget()));
  }
  return list_of(split_at(text, separator, limit, run.budget()));
}

template <bool from_right>
Value partition(Interpreter& run, const Value& self, const Arguments& given) {
  const BoundArguments args("partition()", given, {"sep"}, 1);
  const Text& text = self_text(run, self);
  const std::string& separator = args.text(0).bytes();
  if (separator.empty()) throw Error("partition() needs a separator that is not empty");
  if (from_right) run.budget().spend_bytes(text.size() * std::min<size_t>(separator.size(), 4096));
  const size_t hit =
      from_right ? text.bytes().rfind(separator) : find_bytes(text.bytes(), separator, 0);
  if (hit == kNone) {
    return from_right ? Value::tuple({Text(), Text(), text}) : Value::tuple({text, Text(), Text()});
  }
  const size_t end = hit + separator.size();
  return Value::tuple({text.substr(0, hit), text.substr(hit, end), text.substr(end, text.size())});
}

Value splitlines(Interpreter& run, const Value& self, const Arguments& given) {
  const BoundArguments args("splitlines()", given, {"keepends"});
  return list_of(split_lines(self_text(run, self), args.flag(0), run.budget()));
}

Value join(Interpreter& run, const Value& self, const Arguments& given) {
  const BoundArguments args("join()", given, {"iterable"}, 1);
  std::vector<Text> parts;
  const bool markup = self_text(run, self).is_markup();
  for (const Value& item : to_items(*args[0], run.budget())) {
    if (markup) {
      parts.push_back(escape(to_text(item, run.budget())));
      continue;
    }
    if (!item.text()) throw Error("join() needs strings, not " + type_name(item));
    parts.push_back(*item.text());
  }
  return join_texts(self_text(run, self), parts, run.budget());
}

Value format_method(Interpreter& run, const Value& self, const Arguments& given) {
  return format_braces(self_text(run, self), given, run.budget());
}

Value format_map(Interpreter& run, const Value& self, const Arguments& given) {
  const BoundArguments args("format_map()", given, {"mapping"}, 1);
  Arguments names;
  if (!args[0]->as_dict()) throw Error("format_map() needs a dict, not " + type_name(*args[0]));
  for (const auto& [key, value] : args[0]->as_dict()->entries) {
    run.budget().spend_steps(1);
    if (key.text()) names.named.emplace_back(*key.text(), value);
  }
  return format_braces(self_text(run, self), names, run.budget());
}

Value expand_tabs(Interpreter& run, const Value& self, const Arguments& given) {
  const BoundArguments args("expandtabs()", given, {"tabsize"});
  const Text& text = self_text(run, self);
  const int64_t width = std::max<int64_t>(args.integer(0, 8), 0);
  run.budget().check_string(static_cast<size_t>(width));
  Text out;
  int64_t column = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t c = next_code_point(text.bytes(), at);
    if (c != '\t') {
      out.append(text, begin, at);
      column = c == '\n' || c == '\r' ? 0 : column + 1;
      continue;
    }
    const int64_t gap = width == 0 ? 0 : width - column % width;
    run.budget().spend_bytes(static_cast<size_t>(gap));
    out.append(std::string(static_cast<size_t>(gap), ' '));
    run.budget().check_string(out.size());
    column += gap;
  }
  return out;
}

// The table maps code points to code points, strings, or none for those that go.
Value translate(Interpreter& run, const Value& self, const Arguments& given) {
  const BoundArguments args("translate()", given, {"table"}, 1);
  const Text& text = self_text(run, self);
  require_defined(*args[0]);
  if (!args[0]->as_dict()) throw Error("translate() needs a dict, not " + type_name(*args[0]));
  Text out;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const auto c = static_cast<int64_t>(next_code_point(text.bytes(), at));
    const Value* to = args[0]->as_dict()->find(Value(c), run.budget());
    if (!to) {
      out.append(text, begin, at);
    } else if (to->text()) {
      run.budget().spend_bytes(to->text()->size());
      out.append(*to->text());
      run.budget().check_string(out.size());
    } else if (const auto code = as_integer(*to)) {
      if (*code < 0 || *code > 0x10FFFF || (*code >= 0xD800 && *code < 0xE000)) {
        throw Error("translate() got a number that is no character");
      }
      std::string bytes;
      append_utf8(bytes, static_cast<char32_t>(*code));
      out.append(bytes, text.substr(begin, at).origin());
    } else if (!to->is_none()) {
      throw Error("translate() needs numbers, strings or none, not " + type_name(*to));
    }
  }
  return out;
}

// ljust, rjust and center; the odd space of center goes where CPython puts it.
template <int side>
Value justify(Interpreter& run, const Value& self, const Arguments& given) {
  const BoundArguments args("a justifying method", given, {"width", "fillchar"}, 1);
  const Text& text = self_text(run, self);
  const Text fill = args[1] ? args.text(1) : Text(std::string(" "));
  if (length_in_code_points(fill.bytes()) != 1) throw Error("a fill is one character");
  const int64_t width = args.integer(0, 0);
  const int64_t gap = width - static_cast<int64_t>(length_in_code_points(text.bytes()));
  if (gap <= 0) return text;
  run.budget().check_string(static_cast<size_t>(gap));
  run.budget().spend_string(text.size() + static_cast<size_t>(gap) * fill.size());
  const int64_t left = side < 0 ? 0 : side > 0 ? gap : gap / 2 + (gap & width & 1);
  Text out;
  for (int64_t i = 0; i < left; ++i) out.append(fill);
  out.append(text);
  for (int64_t i = left; i < gap; ++i) out.append(fill);
  return out;
}

Value zfill(Interpreter& run, const Value& self, const Arguments& given) {
  const BoundArguments args("zfill()", given, {"width"}, 1);
  const Text& text = self_text(run, self);
  const int64_t gap =
      args.integer(0, 0) - static_cast<int64_t>(length_in_code_points(text.bytes()));
  if (gap <= 0) return text;
  run.budget().check_string(static_cast<size_t>(gap));
  run.budget().spend_string(text.size() + static_cast<size_t>(gap));
  const bool is_signed = !text.empty() && (text.bytes()[0] == '-' || text.bytes()[0] == '+');
  Text out = text.substr(0, is_signed ? 1 : 0);
  out.append(std::string(static_cast<size_t>(gap), '0'));
  out.append(text.substr(is_signed ? 1 : 0, text.size()));
  return out;
}

// str.maketrans: what translate() takes, by the numbers of characters.
Value make_translation(Interpreter& run, const Value&, const Arguments& given) {
  const BoundArguments args("maketrans()", given, {"x", "y", "z"}, 1);
  Dict table;
  if (!args[1]) {
    require_defined(*args[0]);
    if (!args[0]->as_dict()) throw Error("maketrans() needs a dict or two strings");
    for (const auto& [key, value] : args[0]->as_dict()->entries) {
      const Text* text = key.text();
      if (!text && !as_integer(key)) throw Error("maketrans() needs characters or their numbers");
      size_t at = 0;
      const bool is_character = text && length_in_code_points(text->bytes()) == 1;
      if (text && !is_character) throw Error("maketrans() needs keys of one character");
      table.set(text ? Value(int64_t{next_code_point(text->bytes(), at)}) : key, value,
                run.budget());
    }
    return Value::dict(std::move(table));
  }
  const std::string &from = args.text(0).bytes(), &to = args.text(1).bytes();
  if (length_in_code_points(from) != length_in_code_points(to)) {
    throw Error("maketrans() needs two strings of one length");
  }
  for (size_t at = 0, other = 0; at < from.size();) {
    const int64_t key = next_code_point(from, at), value = next_code_point(to, other);
    table.set(Value(key), Value(value), run.budget());
  }
  if (args[2]) {
    const std::string& removed = args.text(2).bytes();
    for (size_t at = 0; at < removed.size();) {
      table.set(Value(int64_t{next_code_point(removed, at)}), Value(), run.budget());
    }
  }
  return Value::dict(std::move(table));
}

// Null: Python has the method, templates do not use it.
constexpr Method kStringMethods[] = {
    {"strip", strip<true, true>},
    {"lstrip", strip<true, false>},
    {"rstrip", strip<false, true>},
    {"split", split<false>},
    {"rsplit", split<true>},
    {"splitlines", splitlines},
    {"partition", partition<false>},
    {"rpartition", partition<true>},
    {"startswith", has_affix<false>},
    {"endswith", has_affix<true>},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"replace", replace_method},
    {"find", find<false, false>},
    {"rfind", find<true, false>},
    {"index", find<false, true>},
    {"rindex", find<true, true>},
    {"count", count},
    {"join", join},
    {"format", format_method},
    {"format_map", format_map},
    {"expandtabs", expand_tabs},
    {"translate", translate},
    {"ljust", justify<-1>},
    {"rjust", justify<1>},
    {"center", justify<0>},
    {"zfill", zfill},
    {"encode", nullptr},
    {"maketrans", make_translation},
};

}  // namespace

std::span<const Method> string_methods() { return kStringMethods; }

Text replace_text(const Text& text, const Text& from, const Text& to, int64_t count,
                  Budget& budget) {
  Text out;
  size_t done = 0, at = 0;
  for (int64_t i = 0; count < 0 || i < count; ++i) {
    const size_t hit = find_bytes(text.bytes(), from.bytes(), at);
    if (hit == kNone) break;
    budget.spend_steps(1);
    budget.spend_bytes(hit - done);
    budget.spend_bytes(to.size());
    out.append(text, done, hit);
    out.append(to);
    budget.check_string(out.size());
    done = hit + from.size();
    at = done;
    if (from.empty()) {  // an empty string is found before every code point and at the end
      if (hit == text.size()) break;
      at = hit + utf8_length(text.bytes()[hit]);
    }
  }
  out.append(text, done, text.size());
  return out;
}

std::vector<Text> split_at_space(const Text& text, int64_t limit, bool from_right, Budget& budget) {
  const std::vector<Word> found = words(text.bytes());
  budget.spend_steps(static_cast<int64_t>(found.size()));
  const size_t cuts = limit < 0 ? found.size() : static_cast<size_t>(limit);
  std::vector<Text> parts;
  if (found.size() <= cuts) {
    for (const Word& word : found) parts.push_back(text.substr(word.begin, word.end));
  } else if (from_right) {
    const size_t joined = found.size() - cuts;  // words that stay together, with the space before
    parts.push_back(text.substr(0, found[joined - 1].end));
    for (size_t i = joined; i < found.size(); ++i) {
      parts.push_back(text.substr(found[i].begin, found[i].end));
    }
  } else {
    for (size_t i = 0; i < cuts; ++i) parts.push_back(text.substr(found[i].begin, found[i].end));
    parts.push_back(text.substr(found[cuts].begin, text.size()));
  }
  return parts;
}

std::vector<Text> split_lines(const Text& text, bool keep_ends, Budget& budget) {
  const auto is_break = [](char32_t c) {
    return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
           c == 0x2029;
  };
  std::vector<Text> lines;
  const std::string& bytes = text.bytes();
  size_t begin = 0;
  for (size_t at = 0; at < bytes.size();) {
    const size_t end = at;
    const char32_t c = next_code_point(bytes, at);
    if (!is_break(c)) continue;
    if (c == '\r' && at < bytes.size() && bytes[at] == '\n') ++at;
    budget.spend_steps(1);
    lines.push_back(text.substr(begin, keep_ends ? at : end));
    begin = at;
  }
  if (begin < bytes.size()) lines.push_back(text.substr(begin, bytes.size()));
  return lines;
}

Text join_texts(const Text& separator, const std::vector<Text>& parts, Budget& budget) {
  Text out;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out.append(separator);
    out.append(parts[i]);
    budget.spend_bytes(separator.size() + parts[i].size());
    budget.check_string(out.size());
  }
  return out;
}

}  // namespace nibble::jinja
