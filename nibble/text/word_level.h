// SPDX-License-Identifier: Apache-2.0
//
// The simplest model: a word is a token, or unknown.
#pragma once

#include <memory>
#include <string>

#include "nibble/text/model.h"
#include "nibble/text/model_fields.h"

namespace nibble {

class WordLevelModel : public Model {
 public:
  // Reads "vocab" and "unk_token".
  explicit WordLevelModel(const ModelFields& fields);

  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::unique_ptr<WordEncoder> start() const override;

 private:
  class Encoder;

  Vocabulary vocabulary_;
  std::string unk_token_;
  int32_t unk_id_;  // -1: unknown words are an error
};

}  // namespace nibble
