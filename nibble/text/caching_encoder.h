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

class CachingEncoder : public WordEncoder {
 public:
  // `cache` is shared by all encoders of a model and must outlive them. `mark`, if not empty, is a
  // text before which any word may be cut, unless another mark stands right before it, without a
  // difference to the ids; long words are.
  explicit CachingEncoder(WordCache& cache, std::string_view mark = {})
      : cache_(cache), mark_(mark) {}

  void encode(std::string_view word, std::vector<int32_t>& ids) final;
  void encode_words(std::string_view text, std::span<const TextSpan> words,
                    std::vector<int32_t>& ids) final;

 protected:
  // Appends the ids of a word that the cache does not know; always the same for the same word.
  virtual void encode_new(std::string_view word, std::vector<int32_t>& ids) = 0;

 private:
  static constexpr size_t kBatch = 256;

  void encode_batch(std::string_view text, std::span<const TextSpan> words,
                    std::vector<int32_t>& ids);
  void encode_short(const WordCache::Key& key, size_t place, std::string_view word,
                    std::vector<int32_t>& ids);
  void encode_long(std::string_view word, std::vector<int32_t>& ids);
  void encode_by_marks(std::string_view word, std::vector<int32_t>& ids);

  WordCache& cache_;
  std::string_view mark_;
};

}  // namespace nibble
