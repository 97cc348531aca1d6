// SPDX-License-Identifier: Apache-2.0
//
// A SentencePiece model: parsed, made a tokenizer.json, and that loaded and used.
#include <string>

#include "nibble/text/sentencepiece_model.h"
#include "nibble/text/sentencepiece_tokenizer.h"
#include "nibble/text/tokenizer.h"
#include "tests/fuzz/fuzzing.h"

namespace nibble::fuzz {

// A piece of a few bytes becomes a token, and can be made of others in as many ways as it has
// characters.
const MemoryBound kMemory{.fixed = 64 << 20, .per_byte = 4096};

void read(Input input) {
  const SentencePieceModel model = parse_sentencepiece_model(text_of(input), "tokenizer.model");
  TokenizerConfig config;
  const std::string json = sentencepiece_to_json(model, config, "tokenizer.model");
  const auto tokenizer = Tokenizer::from_json(json, "tokenizer.model");
  tokenizer->decode(tokenizer->encode(text_of(input)));
  tokenizer->decode(tokenizer->encode("Hello, World 123 \xe4\xb8\x96 </s>"));
}

}  // namespace nibble::fuzz
