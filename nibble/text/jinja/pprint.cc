// SPDX-License-Identifier: Apache-2.0
//
// The filter pprint: what Python's pprint makes of a value at its default width of 80.
#include <algorithm>
#include <string>

#include "nibble/base/utf8.h"
#include "nibble/text/jinja/filters.h"
#include "nibble/text/jinja/interpreter.h"
#include "nibble/text/jinja/string_methods.h"

namespace nibble::jinja {
namespace {

constexpr int64_t kWidth = 80;

// Keys of several types, and tuples with such, have an order here: by type, numbers as one.
bool goes_before(const Value& a, const Value& b, Budget& budget) {
  require_defined(a);
  require_defined(b);
  const bool comparable = (as_number(a) && as_number(b)) || (a.text() && b.text());
  if (comparable) return less(a, b, budget);
  const bool tuples = a.is_kind(Sequence::Kind::kTuple) && b.is_kind(Sequence::Kind::kTuple);
  if (!tuples) {
    const auto type = [](const Value& v) { return as_number(v) ? "int" : type_name(v); };
    return type(a) < type(b);
  }
  const auto &x = a.seq()->items, &y = b.seq()->items;
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
    if (!equal(x[i], y[i], budget)) return goes_before(x[i], y[i], budget);
  }
  return x.size() < y.size();
}

// What pprint takes apart; anything else it shows by its repr().
bool is_plain_sequence(const Value& value) {
  return value.is_kind(Sequence::Kind::kList) ||
         (value.is_kind(Sequence::Kind::kTuple) && !value.seq()->is_group);
}

// The value with all its dicts in the order of their keys.
Value sorted(const Value& value, Budget& budget) {
  budget.spend_steps(1);
  if (is_plain_sequence(value)) {
    std::vector<Value> items;
    for (const Value& item : value.seq()->items) items.push_back(sorted(item, budget));
    return Value::sequence(value.seq()->kind, std::move(items));
  }
  if (!value.as_dict()) return value;
  std::vector<std::pair<Value, Value>> entries = value.as_dict()->entries;
  std::stable_sort(entries.begin(), entries.end(), [&](const auto& a, const auto& b) {
    return goes_before(a.first, b.first, budget);
  });
  Dict dict;
  for (const auto& [key, held] : entries) dict.set(key, sorted(held, budget), budget);
  return Value::dict(std::move(dict));
}

class Printer {
 public:
  explicit Printer(Budget& budget) : budget_(budget) {}

  // `indent` is the column where the value begins, `after` how many characters must follow it on
  // its last line.
  void write(const Value& value, int64_t indent, int64_t after, bool is_outermost = false) {
    const Text shown = to_repr(value, budget_);
    const Text* text = value.text();
    if (length(shown) <= kWidth - indent - after) return put(shown);
    if (text && !text->is_markup()) return write_text(*text, indent, after, is_outermost);
    if (value.as_dict()) return write_dict(*value.as_dict(), indent, after);
    if (is_plain_sequence(value)) return write_items(*value.seq(), indent, after);
    put(shown);
  }

  Text take() { return std::move(out_); }

 private:
  int64_t length(const Text& text) {
    budget_.spend_bytes(text.size());
    return static_cast<int64_t>(length_in_code_points(text.bytes()));
  }

  void write_items(const Sequence& seq, int64_t indent, int64_t after) {
    const bool is_list = seq.kind == Sequence::Kind::kList;
    const std::string_view closer = is_list ? "]" : seq.items.size() == 1 ? ",)" : ")";
    put(is_list ? "[" : "(");
    ++indent;
    for (size_t i = 0; i < seq.items.size(); ++i) {
      const bool is_last = i + 1 == seq.items.size();
      if (i > 0) next_line(",", indent);
      write(seq.items[i], indent, is_last ? after + static_cast<int64_t>(closer.size()) : 1);
    }
    put(closer);
  }

  void write_dict(const Dict& dict, int64_t indent, int64_t after) {
    put("{");
    ++indent;
    for (size_t i = 0; i < dict.entries.size(); ++i) {
      const auto& [key, value] = dict.entries[i];
      if (i > 0) next_line(",", indent);
      const Text shown = to_repr(key, budget_);
      put(shown);
      put(": ");
      const bool is_last = i + 1 == dict.entries.size();
      write(value, indent + length(shown) + 2, is_last ? after + 1 : 1);
    }
    put("}");
  }

  // A literal of several strings, a line of the text or a few of its words each; in parentheses
  // when nothing else encloses it.
  void write_text(const Text& text, int64_t indent, int64_t after, bool is_outermost) {
    if (is_outermost) {
      ++indent;
      ++after;
    }
    std::vector<Text> pieces;
    const std::vector<Text> lines = split_lines(text, true, budget_);
    for (size_t i = 0; i < lines.size(); ++i) {
      const bool is_last = i + 1 == lines.size();
      Text shown = to_repr(lines[i], budget_);
      if (length(shown) <= kWidth - indent - (is_last ? after : 0)) {
        pieces.push_back(std::move(shown));
      } else {
        add_words(lines[i], kWidth - indent, is_last ? after : 0, pieces);
      }
    }
    if (pieces.empty()) pieces.emplace_back(std::string("''"));
    const bool enclosed = is_outermost && pieces.size() > 1;
    if (enclosed) put("(");
    for (size_t i = 0; i < pieces.size(); ++i) {
      if (i > 0) next_line("", indent);
      put(pieces[i]);
    }
    if (enclosed) put(")");
  }

  // As many words, with the space after them, as fit into each piece.
  void add_words(const Text& line, int64_t width, int64_t after, std::vector<Text>& pieces) {
    const auto skip = [&](size_t at, bool spaces) {
      while (at < line.size()) {
        size_t next = at;
        if (is_python_space(next_code_point(line.bytes(), next)) != spaces) break;
        at = next;
      }
      return at;
    };
    Text piece;
    for (size_t at = 0; at < line.size();) {
      const size_t end = skip(skip(at, false), true);
      Text longer = piece;
      longer.append(line, at, end);
      if (length(to_repr(longer, budget_)) > width - (end == line.size() ? after : 0)) {
        if (!piece.empty()) pieces.push_back(to_repr(piece, budget_));
        piece = line.substr(at, end);
      } else {
        piece = std::move(longer);
      }
      at = end;
    }
    if (!piece.empty()) pieces.push_back(to_repr(piece, budget_));
  }

  void next_line(std::string_view before, int64_t indent) {
    put(before);
    put("\n");
    put(std::string(static_cast<size_t>(indent), ' '));
  }

  void put(const Text& text) {
    budget_.spend_bytes(text.size());
    out_.append(text);
    budget_.check_string(out_.size());
  }
  void put(std::string_view text) { put(Text(std::string(text))); }

  Budget& budget_;
  Text out_;
};

}  // namespace

Value pretty_print(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments none("pprint", given, {});
  Printer printer(run.budget());
  printer.write(sorted(subject, run.budget()), 0, 0, /*is_outermost=*/true);
  return printer.take();
}

}  // namespace nibble::jinja
