// SPDX-License-Identifier: Apache-2.0
//
// What a Tokenizer is made of; seen by its own sources only.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "nibble/text/added_tokens.h"
#include "nibble/text/decoder.h"
#include "nibble/text/model.h"
#include "nibble/text/normalizer.h"
#include "nibble/text/post_processor.h"
#include "nibble/text/pretokenizer.h"
#include "nibble/text/tokenizer.h"
#include "nibble/text/tokenizer_config.h"
#include "nibble/text/word_scanner.h"

namespace nibble {

struct Tokenizer::Parts {
  std::unique_ptr<Normalizer> normalizer;  // null: none
  // One of both is there; the scanner where it can do what the pre-tokenizer would.
  std::unique_ptr<PreTokenizer> pre_tokenizer;
  std::unique_ptr<WordScanner> scanner;
  std::unique_ptr<Model> model;
  std::unique_ptr<Decoder> decoder;
  AddedTokens added;
  PostProcessor post_processor;
  std::optional<Truncation> truncation;
  std::optional<Padding> padding;
  TokenizerConfig config;

  // The text by which `id` enters the decoder; nullopt when there is no such token or it is
  // skipped.
  std::optional<std::string_view> decodable(int32_t id, const DecodeOptions& options) const {
    const std::string* added_form = added.decoded_form(id);
    const std::optional<std::string_view> text =
        added_form != nullptr ? *added_form : model->vocabulary().token(id);
    if (!text.has_value()) return std::nullopt;
    if (options.skip_special_tokens && added.is_special_text(*text)) return std::nullopt;
    return text;
  }

  // The filter that tokens are pushed into; it must not outlive `text`.
  std::unique_ptr<TokenSink> start_decoding(TokenSink& text, const DecodeOptions& options) const;

  std::optional<int32_t> find(std::string_view token) const {
    int32_t id = -1;
    if (added.find(token, id) != nullptr) return id;
    id = model->vocabulary().find(token);
    return id < 0 ? std::nullopt : std::optional(id);
  }
};

}  // namespace nibble
