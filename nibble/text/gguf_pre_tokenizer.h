// SPDX-License-Identifier: Apache-2.0
//
// How the byte-level BPE vocabularies of GGUF files split text: the table from "tokenizer.ggml.pre"
// to the components of tokenizer.json. Llama.cpp coined the names; each row holds what the
// tokenizer.json of the models behind the name says.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace nibble {

struct GgufPreTokenizer {
  nlohmann::json normalizer = nullptr;  // null for none
  nlohmann::json pre_tokenizer = nullptr;
  bool ignore_merges = false;
  bool add_bos = false;  // when the file does not say
};

// Throws Error, naming `source` and all known names, for an unknown name.
GgufPreTokenizer gguf_pre_tokenizer(const std::string& name, const std::string& source);

}  // namespace nibble
