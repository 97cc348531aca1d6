// SPDX-License-Identifier: Apache-2.0
//
// The templates of split.h; included by it alone.
#pragma once

#include <utility>

#include "nibble/base/utf8.h"

namespace nibble {

template <class Find>
void split_pieces(PreTokenized& input, SplitBehavior behavior, Find&& find) {
  std::vector<Piece> parts;
  parts.reserve(input.pieces.size());
  std::vector<Span> spans;
  for (const Piece& piece : input.pieces) {
    if (!piece.is_text()) {
      parts.push_back(piece);
      continue;
    }
    spans.clear();
    find(input.view(piece), spans);
    apply_split_behavior(spans, behavior);
    for (const Span& span : spans) {
      if (span.is_match || span.begin == span.end) continue;
      parts.push_back({.begin = piece.begin + static_cast<int64_t>(span.begin),
                       .end = piece.begin + static_cast<int64_t>(span.end),
                       .at_start = piece.at_start && span.begin == 0});
    }
  }
  input.pieces = std::move(parts);
}

template <class Predicate>
void find_characters(std::string_view text, std::vector<Span>& spans, Predicate&& is_match) {
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    if (!is_match(next_code_point(text, at))) continue;
    if (done < begin) spans.push_back({done, begin, false});
    spans.push_back({begin, at, true});
    done = at;
  }
  if (done < text.size()) spans.push_back({done, text.size(), false});
}

}  // namespace nibble
