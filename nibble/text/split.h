// SPDX-License-Identifier: Apache-2.0
//
// Cutting pieces at the matches of a pattern: what every splitting pre-tokenizer shares.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/pretokenized.h"

namespace nibble {

// What becomes of the matches. For "-" in "a--b":
enum class SplitBehavior {
  kRemoved,             // a b
  kIsolated,            // a - - b
  kMergedWithPrevious,  // a- - b
  kMergedWithNext,      // a - -b
  kContiguous,          // a -- b
};

// "Removed", "Isolated" and so on; throws Error naming `source` for any other name.
SplitBehavior parse_split_behavior(const std::string& name, const std::string& source);

// A part of a text, in bytes; a match of the pattern or what lies between two matches.
struct Span {
  size_t begin, end;
  bool is_match;
};

// Replaces the text pieces by their parts. `find(text, spans)` appends spans that cover `text`
// from left to right; empty parts vanish.
template <class Find>
void split_pieces(PreTokenized& input, SplitBehavior behavior, Find&& find);

// Joins and marks spans in place so that what remains with is_match == false is to be kept.
void apply_split_behavior(std::vector<Span>& spans, SplitBehavior behavior);

// Appends the spans of the characters for which `is_match(code point)` holds, each one alone.
template <class Predicate>
void find_characters(std::string_view text, std::vector<Span>& spans, Predicate&& is_match);

}  // namespace nibble

#include "nibble/text/split_inl.h"
