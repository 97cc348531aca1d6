// SPDX-License-Identifier: Apache-2.0
//
// config.json: the model's config, its scheme and its outline of modules.
#include "nibble/models/config.h"

#include "nibble/convert/model_files.h"
#include "nibble/io/json_file.h"
#include "nibble/quant/registry.h"
#include "tests/fuzz/fuzzing.h"

namespace nibble::fuzz {

// The largest config that is accepted, 4096 layers with heads of 2^20, takes so much.
const MemoryBound kMemory{.fixed = 128 << 20, .per_byte = 256};

void read(Input input) {
  const auto json = parse_json(text_of(input), "config.json");
  const ModelConfig config = ModelConfig::from_json(json, "config.json");
  LoadOptions options;
  std::unique_ptr<Scheme> scheme;
  if (!config.quantization.is_null()) {
    scheme = make_scheme(config.quantization, "config.json");
    options.packed_with = scheme.get();
    options.skip_modules = scheme->skip_modules();
  }
  const auto modules = modules_of(config, options);
  require(!modules.empty(), "a model has modules");
}

}  // namespace nibble::fuzz
