// SPDX-License-Identifier: Apache-2.0
//
// generation_config.json.
#include "nibble/generate/generation_config.h"

#include <nlohmann/json.hpp>

#include "nibble/io/json_file.h"
#include "tests/fuzz/fuzzing.h"

namespace nibble::fuzz {

const MemoryBound kMemory{.fixed = 1 << 20, .per_byte = 256};

void read(Input input) {
  GenerationConfig config;
  config.merge_json(parse_json(text_of(input), "generation_config.json"), "generation_config.json");
  config.validate();
  require(config.new_tokens_after(0) > 0, "there is room for a token");
}

}  // namespace nibble::fuzz
