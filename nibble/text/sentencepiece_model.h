// SPDX-License-Identifier: Apache-2.0
//
// The file of a SentencePiece model: a protobuf message (sentencepiece_model.proto). Read by a
// parser of its own that knows the fields a tokenizer needs, skips all others, and takes no more
// memory than the file has bytes, times a constant.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nibble {

struct SentencePieceModel {
  enum class Algorithm : int32_t { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };
  enum class PieceType : int32_t { kNormal = 1, kUnknown, kControl, kUserDefined, kByte, kUnused };

  struct Piece {
    std::string_view text;  // in the bytes that were parsed; valid UTF-8
    float score = 0;
    PieceType type = PieceType::kNormal;
  };

  std::vector<Piece> pieces;  // by id
  Algorithm algorithm = Algorithm::kUnigram;
  bool byte_fallback = false;
  int64_t unk_id = 0, bos_id = 1, eos_id = 2;  // negative for none
  std::string unk_piece = "<unk>", bos_piece = "<s>", eos_piece = "</s>";
  std::string_view precompiled_charsmap;  // in the bytes that were parsed; "" for none
};

// Throws Error, naming `source` and the place, for broken messages, pieces that are no UTF-8,
// scores that are no finite numbers, and files without pieces. `bytes` must outlive the result.
SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& source);

}  // namespace nibble
