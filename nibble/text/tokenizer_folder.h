// SPDX-License-Identifier: Apache-2.0
//
// Folders without a tokenizer.json: one is made of what older tokenizers saved. Looked for in this
// order: a SentencePiece model (tokenizer.model, spiece.model, sentencepiece.bpe.model), vocab.json
// with merges.txt or encoder.json with vocab.bpe (byte pair encoding), vocab.txt (WordPiece).
#pragma once

#include <filesystem>
#include <string>

#include "nibble/text/tokenizer_config.h"

namespace nibble {

struct FolderTokenizer {
  std::string tokenizer_json;
  std::string source;  // the file that stands in errors
};

// Where `config` names no class, the kind of file gives it one. Throws Error when there is none of
// the files, or one is malformed.
FolderTokenizer tokenizer_of_folder(const std::filesystem::path& folder, TokenizerConfig& config);

}  // namespace nibble
