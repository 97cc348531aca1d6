// SPDX-License-Identifier: Apache-2.0
//
// The filter wordwrap: lines of a limited width, as Python's textwrap cuts them.
#include <unicode/uchar.h>

#include <algorithm>

#include "nibble/base/utf8.h"
#include "nibble/text/jinja/filters.h"
#include "nibble/text/jinja/interpreter.h"
#include "nibble/text/jinja/string_methods.h"

namespace nibble::jinja {
namespace {

// Where lines may be cut; other Unicode spaces hold words together.
bool is_gap(char32_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool is_letter(char32_t c) {
  return is_python_word(c) && !u_isdigit(static_cast<UChar32>(c));  // '_' is one, too
}

// What may stand before a dash of several hyphens.
bool ends_word(char32_t c) {
  return is_python_word(c) || std::u32string_view(U"!\"'&.,?").find(c) != std::u32string_view::npos;
}

// A part of a line that is cut only when it is too long for a line of its own.
struct Chunk {
  size_t begin, end;  // code points
  size_t size() const { return end - begin; }
};

class Line {
 public:
  explicit Line(const Text& text) : text_(text) {
    for (size_t at = 0; at < text.size();) {
      offsets_.push_back(at);
      points_.push_back(next_code_point(text.bytes(), at));
    }
    offsets_.push_back(text.size());
  }

  Text part(const Chunk& chunk) const {
    return text_.substr(offsets_[chunk.begin], offsets_[chunk.end]);
  }

  std::vector<Chunk> chunks(bool at_hyphens) const {
    std::vector<Chunk> out;
    for (size_t begin = 0; begin < points_.size(); begin = out.back().end) {
      out.push_back({begin, end_of_chunk(begin, at_hyphens)});
    }
    return out;
  }

  bool is_blank(const Chunk& chunk) const {
    return std::all_of(points_.begin() + static_cast<std::ptrdiff_t>(chunk.begin),
                       points_.begin() + static_cast<std::ptrdiff_t>(chunk.end), is_python_space);
  }

  // How much of the chunk's first `room` characters goes up to the last hyphen; all when there is
  // none, or nothing but hyphens before it.
  size_t up_to_hyphen(const Chunk& chunk, size_t room) const {
    size_t hyphen = chunk.begin + room;
    while (hyphen > chunk.begin && points_[hyphen - 1] != '-') --hyphen;
    for (size_t at = chunk.begin; at + 1 < hyphen; ++at) {
      if (points_[at] != '-') return hyphen - chunk.begin;
    }
    return room;
  }

 private:
  bool has(size_t at, bool (*test)(char32_t)) const {
    return at < points_.size() && test(points_[at]);
  }
  bool hyphen(size_t at) const { return at < points_.size() && points_[at] == '-'; }

  // The end of two or more hyphens at `at` between words; `at` itself when there are none.
  size_t end_of_dash(size_t at) const {
    if (!hyphen(at) || at == 0 || !ends_word(points_[at - 1])) return at;
    size_t end = at;
    while (hyphen(end)) ++end;
    return end - at >= 2 && has(end, is_python_word) ? end : at;
  }

  // Whether the hyphen at `at` is inside a compound of two letters at least on either side, of
  // which one may be a hyphen.
  bool cuts_compound(size_t at) const {
    if (!hyphen(at) || at < 2 || !is_letter(points_[at - 1])) return false;
    const bool before =
        is_letter(points_[at - 2]) || (at >= 3 && hyphen(at - 2) && is_letter(points_[at - 3]));
    return before && has(at + 1, is_letter) &&
           (has(at + 2, is_letter) || (hyphen(at + 2) && has(at + 3, is_letter)));
  }

  size_t end_of_chunk(size_t begin, bool at_hyphens) const {
    size_t end = begin;
    if (is_gap(points_[begin])) {
      while (has(end, is_gap)) ++end;
      return end;
    }
    if (at_hyphens && end_of_dash(begin) > begin) return end_of_dash(begin);
    for (end = begin + 1; end < points_.size() && !is_gap(points_[end]); ++end) {
      if (!at_hyphens) continue;
      if (cuts_compound(end)) return end + 1;
      if (end_of_dash(end) > end) return end;
    }
    return end;
  }

  const Text& text_;
  std::vector<char32_t> points_;
  std::vector<size_t> offsets_;  // of each code point in bytes, and of the end
};

struct Style {
  double width;
  bool whole_width;  // a width like 2.5 works until a word must be cut
  bool cut_words, cut_at_hyphens, split_at_hyphens;
};

std::vector<Text> wrap(const Text& text, const Style& style, Budget& budget) {
  budget.spend_bytes(text.size() * 2 * kCaseMappingCost);
  const Line line(text);
  std::vector<Chunk> chunks = line.chunks(style.split_at_hyphens);
  budget.spend_steps(static_cast<int64_t>(chunks.size()));
  std::vector<Text> lines;
  for (size_t next = 0; next < chunks.size();) {
    budget.spend_steps(1);
    std::vector<Chunk> taken;
    size_t length = 0;
    const auto fits = [&](size_t more) {
      return static_cast<double>(length + more) <= style.width;
    };
    if (!lines.empty() && line.is_blank(chunks[next])) ++next;
    for (; next < chunks.size() && fits(chunks[next].size()); ++next) {
      taken.push_back(chunks[next]);
      length += chunks[next].size();
    }
    if (next < chunks.size() && static_cast<double>(chunks[next].size()) > style.width) {
      Chunk& long_one = chunks[next];
      if (style.cut_words) {
        if (!style.whole_width) throw Error("wordwrap needs an integer to cut words");
        const size_t room = static_cast<size_t>(style.width) - length;
        const size_t size = style.cut_at_hyphens ? line.up_to_hyphen(long_one, room) : room;
        taken.push_back({long_one.begin, long_one.begin + size});
        long_one.begin += size;
      } else if (taken.empty()) {
        taken.push_back(long_one);
        ++next;
      }
    }
    if (!taken.empty() && line.is_blank(taken.back())) taken.pop_back();
    if (taken.empty()) continue;
    lines.push_back(line.part({taken.front().begin, taken.back().end}));
    budget.spend_bytes(lines.back().size());
  }
  return lines;
}

double width_of(const Value* width) {
  if (!width) return 79;
  require_defined(*width);
  const auto number = as_number(*width);
  if (!number) throw Error("wordwrap needs a number as width");
  if (*number <= 0) throw Error("wordwrap needs a width above 0");
  return *number;
}

}  // namespace

Value word_wrap(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments args("wordwrap", given,
                            {"width", "break_long_words", "wrapstring", "break_on_hyphens"});
  require_defined(subject);
  if (!subject.text()) {
    throw Error(fmt::format("wordwrap needs a string, not {}", type_name(subject)));
  }
  const Text separator = args.given(2) ? args.text(2) : Text(std::string("\n"));
  const std::vector<Text> paragraphs = split_lines(*subject.text(), false, run.budget());
  std::vector<Text> parts;
  for (const Text& paragraph : paragraphs) {
    const bool* exactly = args[3] ? args[3]->get<bool>() : nullptr;
    const Style style{.width = width_of(args[0]),
                      .whole_width = !args[0] || as_integer(*args[0]).has_value(),
                      .cut_words = args.flag(1, true),
                      .cut_at_hyphens = args.flag(3, true),
                      .split_at_hyphens = args[3] ? exactly && *exactly : true};
    std::vector<Text> lines = wrap(paragraph.as_plain(), style, run.budget());
    if (separator.is_markup()) {
      for (Text& line : lines) line = escape(line);
    }
    parts.push_back(join_texts(separator, lines, run.budget()));
  }
  const Text out = join_texts(separator, parts, run.budget());
  return separator.is_markup() ? out.as_markup() : out.as_plain();
}

}  // namespace nibble::jinja
