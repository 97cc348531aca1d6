// SPDX-License-Identifier: Apache-2.0
//
// Post-processors put special tokens (BOS, EOS, ...) around the tokens of a text or between those
// of two. A chain of them is worked out once, into one flat template for each case.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "nibble/text/encoding.h"

namespace nibble {

struct TemplatePart {
  enum class Source { kFirst, kSecond, kSpecial };
  Source source;
  std::vector<int32_t> ids;  // of a special part
  int32_t type_id;           // of all tokens of the part
  int32_t overflow_type_id;  // the same in what truncation cut off; the reference tells them apart
  bool special;              // whether special_tokens_mask says so
  int32_t group;             // rises; the same for a text and the tokens put right around it
};

class PostProcessor {
 public:
  // Adds nothing; a second text follows the first.
  PostProcessor();
  // TemplateProcessing, RobertaProcessing, BertProcessing, ByteLevel (adds nothing), Sequence.
  // Throws Error, naming `source` and the type, for any other type and for malformed objects.
  PostProcessor(const nlohmann::json& object, const std::string& source);

  // Throws Error where the file's template does not work for that number of texts.
  const std::vector<TemplatePart>& parts(bool pair, bool add_special_tokens) const;

  // How many special tokens there are.
  int64_t added_tokens(bool pair) const { return added_[pair ? 1 : 0]; }

  // The final encoding of one or two texts, whose type ids are 0 and 1. Throws Error when a pair
  // that is cut on both sides makes too many combinations.
  Encoding process(const Encoding& first, const Encoding* second, bool add_special_tokens) const;

 private:
  struct Case {
    std::vector<TemplatePart> parts;
    std::string problem;  // not empty: cannot be used
  };

  std::array<std::array<Case, 2>, 2> cases_;  // [pair][add_special_tokens]
  std::array<int64_t, 2> added_ = {0, 0};
  std::string source_;
};

}  // namespace nibble
