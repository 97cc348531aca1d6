// SPDX-License-Identifier: Apache-2.0
//
// What a model takes in besides ids, and how texts are cut and filled up to the lengths it wants;
// equal to the tokenizers library. Names are those of Hugging Face.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace nibble {

// One text or pair of texts, ready for a model. All lists have one entry per token.
struct Encoding {
  std::vector<int32_t> ids;
  std::vector<int32_t> type_ids;             // mostly 0 in the first text, 1 in the second
  std::vector<uint8_t> special_tokens_mask;  // 1: put in by the post-processor or by padding
  std::vector<uint8_t> attention_mask;       // 0: padding
  // What truncation cut off, in windows that overlap by its stride. Those have none themselves.
  std::vector<Encoding> overflowing;

  int64_t size() const { return static_cast<int64_t>(ids.size()); }

  bool operator==(const Encoding&) const = default;
};

enum class Side { kRight, kLeft };

struct Truncation {
  enum class Strategy {
    kLongestFirst,  // both texts, the longer one first
    kOnlyFirst,
    kOnlySecond,
  };
  int64_t max_length = 512;  // tokens, special ones included
  int64_t stride = 0;        // tokens by which windows overlap
  Strategy strategy = Strategy::kLongestFirst;
  Side direction = Side::kRight;  // the side that is cut off
};

struct Padding {
  std::optional<int64_t> length;  // nullopt: that of the longest of the batch
  std::optional<int64_t> pad_to_multiple_of;
  int32_t pad_id = 0;
  int32_t pad_type_id = 0;
  std::string pad_token = "[PAD]";  // for users; ids are filled with pad_id
  Side direction = Side::kRight;    // the side that is filled up
};

// Appends the tokens of `part`; what it overflows is left out.
void append_encoding(Encoding& out, const Encoding& part);

// Cuts `encoding` to `max_length`; the rest goes to its `overflowing`. Throws Error when `stride`
// is not below `max_length`, unless nothing is to be cut.
void truncate_encoding(Encoding& encoding, int64_t max_length, int64_t stride, Side direction);

// Cuts a text, and a second one that may be null, to `truncation.max_length` together. Throws Error
// when the strategy's text is missing or too short for it.
void truncate_encodings(Encoding& first, Encoding* second, const Truncation& truncation);

// Fills up all of `encodings` and what they overflow. Throws Error for more than 2^28 tokens.
void pad_encodings(std::vector<Encoding>& encodings, const Padding& padding);

}  // namespace nibble
