// SPDX-License-Identifier: Apache-2.0
//
// A .safetensors file: its header, every byte of every tensor, and the way back: what was read can
// be written, and reads the same.
#include "nibble/io/safetensors.h"

#include <algorithm>
#include <string>
#include <vector>

#include "nibble/format/weight.h"
#include "tests/fuzz/fuzzing.h"
#include "tests/fuzz/safetensors_input.h"

namespace nibble::fuzz {

const MemoryBound kMemory{.fixed = 256 << 10, .per_byte = 64};

namespace {

std::string written_again(const SafetensorsFile& file) {
  std::vector<TensorSpec> specs;
  for (const TensorInfo& info : file.tensors())
    specs.push_back({info.name, info.dtype, info.shape});
  std::string bytes = safetensors_header(specs, file.metadata());
  for (const size_t i : safetensors_order(specs)) {
    const auto data = file.tensor(file.tensors()[i]);
    bytes.append(reinterpret_cast<const char*>(data.bytes().data()), data.bytes().size());
  }
  return bytes;
}

void require_same(const SafetensorsFile& a, const SafetensorsFile& b) {
  require(a.metadata() == b.metadata(), "metadata survives writing");
  require(a.tensors().size() == b.tensors().size(), "every tensor survives writing");
  for (const TensorInfo& info : a.tensors()) {
    const TensorInfo* same = b.find(info.name);
    require(same && same->dtype == info.dtype && same->shape == info.shape,
            "a tensor's type survives writing");
    require(std::ranges::equal(a.tensor(info).bytes(), b.tensor(*same).bytes()),
            "a tensor's bytes survive writing");
  }
}

}  // namespace

void read(Input input) {
  const std::string bytes = safetensors_bytes(input);
  const InputFile on_disk(bytes);
  const SafetensorsFile file = SafetensorsFile::open(on_disk.path());
  for (const TensorInfo& info : file.tensors()) {
    const Tensor tensor = file.tensor(info);
    require(tensor.nbytes() == info.nbytes, "a tensor is as large as its header says");
    if (is_float(tensor.dtype())) to_dtype(tensor, DType::kF32);
  }
  const std::string again = written_again(file);
  const InputFile copy(again);
  require_same(file, SafetensorsFile::open(copy.path()));
}

}  // namespace nibble::fuzz
