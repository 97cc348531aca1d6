// SPDX-License-Identifier: Apache-2.0
//
// Post-processors put special tokens (BOS, EOS, ...) around the ids of one text. Pairs of texts
// are not built.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace nibble {

struct SpecialIds {
  std::vector<int32_t> before, after;
};

// TemplateProcessing, RobertaProcessing, BertProcessing, ByteLevel (adds nothing), Sequence.
// Throws Error, naming `source` and the type, for any other type and for malformed objects.
SpecialIds read_post_processor(const nlohmann::json& object, const std::string& source);

}  // namespace nibble
