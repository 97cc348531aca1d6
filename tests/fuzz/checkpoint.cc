// SPDX-License-Identifier: Apache-2.0
//
// An index of shards over a folder with one fixed shard.
#include "nibble/io/checkpoint.h"

#include <string>

#include "nibble/base/error.h"
#include "nibble/io/safetensors.h"
#include "tests/fuzz/fuzzing.h"

namespace nibble::fuzz {

const MemoryBound kMemory{.fixed = 1 << 20, .per_byte = 256};

namespace {

void write_shard() {
  const TensorSpec specs[] = {{"a", DType::kF32, {2}}, {"b.weight", DType::kU8, {8}}};
  write_scratch("model-00001-of-00002.safetensors",
                safetensors_header(specs, {}) + std::string(16, 'x'));
}

}  // namespace

void read(Input input) {
  static const bool prepared = (write_shard(), true);
  require(prepared, "the shard stands");
  write_scratch("model.safetensors.index.json", text_of(input));
  const Checkpoint checkpoint = Checkpoint::open(scratch_folder());
  for (const std::string& name : checkpoint.names()) checkpoint.tensor(name);
  try {
    checkpoint.tensor("b.wieght");
    require(false, "a tensor that is not there is not found");
  } catch (const Error&) {
  }
}

}  // namespace nibble::fuzz
