// SPDX-License-Identifier: Apache-2.0
//
// The vocabulary in a GGUF file's metadata, in the form that text/gguf_tokenizer.h makes tokenizer
// files of.
#pragma once

#include "nibble/io/gguf.h"
#include "nibble/text/gguf_tokenizer.h"

namespace nibble {

// Throws Error when "tokenizer.ggml.model" or "tokenizer.ggml.tokens" is missing or a value is of
// another type. What the values say is not checked here.
GgufVocabulary read_gguf_vocabulary(const GgufFile& file);

}  // namespace nibble
