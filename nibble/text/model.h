// SPDX-License-Identifier: Apache-2.0
//
// A model turns one word (a piece that the pre-tokenizer left) into token ids. Each kind of model
// is one file that implements this.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "nibble/text/text_span.h"
#include "nibble/text/vocabulary.h"

namespace nibble {

// Encodes the words of one text; owned by one thread and free to remember words.
class WordEncoder {
 public:
  virtual ~WordEncoder() = default;
  // Appends the ids of `word`, which is valid UTF-8, not empty, and lives as long as this.
  virtual void encode(std::string_view word, std::vector<int32_t>& ids) = 0;
  // The same for many words of one text.
  virtual void encode_words(std::string_view text, std::span<const TextSpan> words,
                            std::vector<int32_t>& ids) {
    for (const TextSpan& word : words) encode(word.of(text), ids);
  }
};

class Model {
 public:
  virtual ~Model() = default;
  virtual const Vocabulary& vocabulary() const = 0;
  // How many tokens the model's list has: new tokens get their ids behind these.
  virtual int64_t token_count() const { return vocabulary().size(); }
  // The encoder must not outlive the model. Thread-safe.
  virtual std::unique_ptr<WordEncoder> start() const = 0;
  // Asks the model to take words as raw bytes from now on and to spell them in the byte alphabet
  // (byte_level.h) itself, which spares the longer text. False when it cannot.
  virtual bool spell_bytes() { return false; }
};

}  // namespace nibble
