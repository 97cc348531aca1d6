// SPDX-License-Identifier: Apache-2.0
//
// The object under "quantization_config": what a scheme is made from, and writes, is read as the
// same.
#include <nlohmann/json.hpp>

#include "nibble/io/json_file.h"
#include "nibble/quant/registry.h"
#include "tests/fuzz/fuzzing.h"

namespace nibble::fuzz {

const MemoryBound kMemory{.fixed = 1 << 20, .per_byte = 256};

void read(Input input) {
  const auto json = parse_json(text_of(input), "config.json");
  const auto written = make_scheme(json, "config.json")->config_json();
  require(make_scheme(written, "config.json")->config_json() == written,
          "a written config reads as the same");
}

}  // namespace nibble::fuzz
