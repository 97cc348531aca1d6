// SPDX-License-Identifier: Apache-2.0
//
// Cutting text into words in one pass, without a list of pieces in between: a WordScanner finds the
// words and hands them on in batches. What a pre-tokenizer does when it does nothing but cut.
// Scanners are immutable and thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "nibble/text/text_span.h"

namespace nibble {

// Takes words one by one and passes them on by the batch.
class WordSink {
 public:
  static constexpr size_t kBatch = 256;

  virtual ~WordSink() = default;
  void add(size_t begin, size_t end) {
    words_[count_] = {begin, end};
    if (++count_ == kBatch) flush();
  }
  void flush() {
    consume({words_.data(), count_});
    count_ = 0;
  }

 private:
  virtual void consume(std::span<const TextSpan> words) = 0;

  std::array<TextSpan, kBatch> words_;
  size_t count_ = 0;
};

class WordScanner {
 public:
  virtual ~WordScanner() = default;
  // Adds the words of `part` of `text` from left to right; none is empty. `text` is valid UTF-8 and
  // the part is cut at characters; what lies outside of it makes no difference.
  virtual void scan(std::string_view text, TextSpan part, WordSink& sink) const = 0;
};

// A hand-written scanner for the matches of `pattern` (in Oniguruma's syntax), for the patterns of
// widespread tokenizers: GPT-2's, that of cl100k, Llama 3 and Qwen, and CLIP's. Null for others,
// and where the text between the matches is wanted, too (`gaps`), but the pattern leaves such text.
std::unique_ptr<WordScanner> make_known_scanner(std::string_view pattern, bool gaps);

}  // namespace nibble
