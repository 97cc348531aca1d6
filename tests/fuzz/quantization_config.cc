// SPDX-License-Identifier: Apache-2.0
//
// The object under "quantization_config", of any method: its facts, what a module would occupy, how
// it is written, and a scheme where the method has one. What a scheme writes is read as the same.
#include "nibble/quant/quantization_config.h"

#include <nlohmann/json.hpp>

#include "nibble/io/json_file.h"
#include "nibble/quant/registry.h"
#include "tests/fuzz/fuzzing.h"

namespace nibble::fuzz {

const MemoryBound kMemory{.fixed = 1 << 20, .per_byte = 256};

void read(Input input) {
  const auto json = parse_json(text_of(input), "config.json");
  const QuantizationConfig config = read_quantization_config(json, "config.json");
  require(facts_of(config).method.size() > 0, "a config has a method");
  packed_size(config, 64, 128);
  to_json(config);
  const auto written = make_scheme(config, "config.json")->config_json();
  require(make_scheme(written, "config.json")->config_json() == written,
          "a written config reads as the same");
}

}  // namespace nibble::fuzz
