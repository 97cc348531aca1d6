// SPDX-License-Identifier: Apache-2.0
//
// Text on its way through a tokenizer: one buffer, cut into pieces. Pre-tokenizers cut the pieces
// further or rewrite their text; a piece that is already an added token is left alone.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nibble {

struct Piece {
  int64_t begin = 0, end = 0;  // bytes of the buffer
  int32_t token = -1;          // the added token that stands here, or -1 for text
  bool at_start = false;       // starts where the original text starts

  bool is_text() const { return token < 0; }
};

struct PreTokenized {
  std::string text;  // valid UTF-8
  std::vector<Piece> pieces;

  std::string_view view(const Piece& piece) const {
    return std::string_view(text).substr(static_cast<size_t>(piece.begin),
                                         static_cast<size_t>(piece.end - piece.begin));
  }

  // Builds the buffer anew: `append(out, piece_text, piece)` writes what each text piece becomes.
  // Pieces that become empty vanish.
  template <class Append>
  void rewrite(Append&& append) {
    std::string out;
    out.reserve(text.size() + text.size() / 4 + 16);
    std::vector<Piece> kept;
    kept.reserve(pieces.size());
    for (Piece piece : pieces) {
      const auto begin = static_cast<int64_t>(out.size());
      if (piece.is_text()) append(out, view(piece), piece);
      piece.begin = begin;
      piece.end = static_cast<int64_t>(out.size());
      if (piece.end > piece.begin || !piece.is_text()) kept.push_back(piece);
    }
    text = std::move(out);
    pieces = std::move(kept);
  }
};

}  // namespace nibble
