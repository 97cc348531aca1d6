// SPDX-License-Identifier: Apache-2.0
//
// Turns a SentencePiece model into a tokenizer.json, as transformers' converters do for the class
// that the configuration names: which ids come first, which merges a BPE vocabulary stands for.
#pragma once

#include <string>

#include "nibble/text/sentencepiece_model.h"
#include "nibble/text/tokenizer_config.h"

namespace nibble {

// The parts that the class builds itself (tokenizer_class.h) are left out, but for the charsmap. A
// config without special tokens gets those of the model where no class has any. Throws Error,
// naming `source`, for models that are neither Unigram nor BPE.
std::string sentencepiece_to_json(const SentencePieceModel& model, TokenizerConfig& config,
                                  const std::string& source);

}  // namespace nibble
