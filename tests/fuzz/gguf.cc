// SPDX-License-Identifier: Apache-2.0
//
// A GGUF file: every metadata value, and every tensor decoded.
#include "nibble/io/gguf.h"

#include <vector>

#include "nibble/base/error.h"
#include "tests/fuzz/fuzzing.h"

namespace nibble::fuzz {

// A block of 256 elements takes 84 bytes at least: 12 bytes of float32 each.
const MemoryBound kMemory{.fixed = 1 << 20, .per_byte = 128};

namespace {

void read_array(const GgufValue& value) {
  switch (value.element_type()) {
    case GgufValueType::kString:
      value.as_strings();
      break;
    case GgufValueType::kFloat32:
    case GgufValueType::kFloat64:
      value.as_floats();
      break;
    default:
      value.as_ints();
  }
}

void read_value(const GgufValue& value) {
  switch (value.type()) {
    case GgufValueType::kString:
      value.as_string();
      break;
    case GgufValueType::kArray:
      read_array(value);
      break;
    case GgufValueType::kBool:
      value.as_bool();
      break;
    case GgufValueType::kFloat32:
    case GgufValueType::kFloat64:
      value.as_float();
      break;
    default:
      value.as_int();
  }
}

// Runs a step that may refuse the input without ending those after it.
template <typename Step>
void attempt(const Step& step) {
  try {
    step();
  } catch (const Error&) {
  }
}

}  // namespace

void read(Input input) {
  const InputFile on_disk(text_of(input));
  const GgufFile file = GgufFile::open(on_disk.path());
  for (const GgufValue& value : file.metadata()) attempt([&] { read_value(value); });
  for (const GgufTensorInfo& info : file.tensors()) {
    require(static_cast<int64_t>(file.raw_bytes(info).size()) == info.nbytes,
            "a tensor is as large as its header says");
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
      attempt([&] { file.decode(info.name, dtype); });
    }
  }
}

}  // namespace nibble::fuzz
