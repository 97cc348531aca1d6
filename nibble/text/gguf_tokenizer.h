// SPDX-License-Identifier: Apache-2.0
//
// Makes Hugging Face tokenizer files out of the vocabulary that a GGUF file carries in its metadata
// ("tokenizer.ggml.*"). It reads no GGUF itself: the values come as they are. Sources: the GGUF
// specification (ggml docs/gguf.md) and the tokenizer.json files of the models named.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace nibble {

struct GgufVocabulary {
  std::string model;                 // tokenizer.ggml.model: "gpt2" (byte-level BPE), "llama"
                                     // (SentencePiece BPE) or "bert" (WordPiece)
  std::string pre;                   // tokenizer.ggml.pre, for "gpt2"; "" counts as "default"
  std::vector<std::string> tokens;   // by id
  std::vector<float> scores;         // by id; needed for "llama"
  std::vector<int32_t> token_types;  // by id: 1 normal, 2 unknown, 3 control, 4 user-defined,
                                     // 5 unused, 6 byte; empty: all normal
  std::vector<std::string> merges;   // "left right", earliest first; needed for "gpt2"
  std::optional<int64_t> bos_token_id, eos_token_id, unk_token_id, pad_token_id;
  std::optional<int64_t> cls_token_id, sep_token_id, mask_token_id;
  std::optional<bool> add_bos, add_eos;  // unset: what the kind of tokenizer does
  std::optional<bool> add_space_prefix;  // for "llama"; unset: true
  std::string chat_template;             // "" for none
};

struct TokenizerFiles {
  std::string tokenizer_json, tokenizer_config_json;  // for Tokenizer::from_json or a folder
};

// "bert" vocabularies mark the pieces that start a word instead of those that go on, and say
// nothing about case: text is made small, as llama.cpp does. "llama" vocabularies (SentencePiece
// BPE) carry scores instead of merges: the merges are rebuilt so that every pair that makes a token
// has the place of that token's score. Throws Error, naming `source`, for other models, unknown
// `pre` names (it lists the known ones), lists whose lengths disagree, tokens that are no UTF-8 and
// ids out of range.
TokenizerFiles make_tokenizer_files(const GgufVocabulary& vocabulary, const std::string& source);

}  // namespace nibble
