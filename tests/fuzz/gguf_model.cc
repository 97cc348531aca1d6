// SPDX-License-Identifier: Apache-2.0
//
// What an import makes of the metadata of a GGUF file: a model's config and its outline of modules.
#include "nibble/convert/gguf_config.h"
#include "nibble/convert/model_files.h"
#include "tests/fuzz/fuzzing.h"

namespace nibble::fuzz {

// The largest config that is accepted, 4096 layers with heads of 2^20, takes so much.
const MemoryBound kMemory{.fixed = 128 << 20, .per_byte = 256};

void read(Input input) {
  const InputFile on_disk(text_of(input));
  const GgufModel model = read_gguf_model(GgufFile::open(on_disk.path()));
  require(!modules_of(ModelConfig::from_json(model.config, "input.gguf")).empty(),
          "a model has modules");
}

}  // namespace nibble::fuzz
