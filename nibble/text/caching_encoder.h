// SPDX-License-Identifier: Apache-2.0
//
// A cache in front of a model that encodes word by word. The ids are the model's own, whatever the
// cache holds.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/model.h"
#include "nibble/text/word_cache.h"

namespace nibble {

// What a model does for a word that no cache knows.
class WordCoder {
 public:
  virtual ~WordCoder() = default;
  // Appends the ids of `word`, which is not empty. Thread-safe.
  virtual void encode_word(std::string_view word, std::vector<int32_t>& ids) const = 0;
};

class CachingEncoder : public WordEncoder {
 public:
  // All three must outlive the encoder; the cache may be shared by many. `mark`, if not empty, is a
  // text before which any word may be cut, unless another mark stands right before it, without a
  // difference to the ids; long words are.
  CachingEncoder(const WordCoder& coder, WordCache& cache, std::string_view mark = {})
      : coder_(coder), cache_(cache), mark_(mark) {}

  void encode(std::string_view word, std::vector<int32_t>& ids) override;
  void encode_words(std::string_view text, std::span<const TextSpan> words,
                    std::vector<int32_t>& ids) override;

 private:
  static constexpr size_t kBatch = 256;

  void encode_batch(std::string_view text, std::span<const TextSpan> words,
                    std::vector<int32_t>& ids);
  void encode_short(const WordCache::Key& key, size_t place, std::string_view word,
                    std::vector<int32_t>& ids);
  void encode_long(std::string_view word, std::vector<int32_t>& ids);
  void encode_by_marks(std::string_view word, std::vector<int32_t>& ids);

  const WordCoder& coder_;
  WordCache& cache_;
  std::string_view mark_;
};

}  // namespace nibble
