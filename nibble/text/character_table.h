// SPDX-License-Identifier: Apache-2.0
//
// The kind of every code point as the patterns of pre-tokenizers see it (\p{L}, \p{N}, \s and the
// rest), in Oniguruma's Unicode version. Some 50 KB, built in under a millisecond; immutable.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace nibble {

enum class CharacterKind : uint8_t { kOther, kLetter, kNumber, kSpace };

class CharacterTable {
 public:
  CharacterTable();

  CharacterKind kind(char32_t c) const {  // c at most U+10FFFF
    return kinds_[(static_cast<size_t>(pages_[c >> kPageBits]) << kPageBits) |
                  (c & (kPageSize - 1))];
  }

 private:
  static constexpr int kPageBits = 8;
  static constexpr size_t kPageSize = size_t{1} << kPageBits;
  static constexpr size_t kCodePoints = 0x110000;

  std::array<uint16_t, kCodePoints / kPageSize> pages_;  // which page of kinds_ a code point is in
  std::vector<CharacterKind> kinds_;                     // pages; equal ones are stored once
};

}  // namespace nibble
