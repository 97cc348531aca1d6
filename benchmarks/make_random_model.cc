// SPDX-License-Identifier: Apache-2.0
//
// make_random_model CONFIG_JSON DESTINATION [SEED]
//
// Writes a Hugging Face folder with the shapes that a config.json asks for and normal random
// bfloat16 weights (standard deviation 0.02, norms 1): for measuring speed and memory at sizes of
// which no real model is at hand. The text it generates means nothing.
#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <map>

#include "nibble/base/atomic_file.h"
#include "nibble/base/random.h"
#include "nibble/io/checkpoint_writer.h"
#include "nibble/models/model.h"

namespace {

using namespace nibble;

constexpr float kDeviation = 0.02f;  // transformers' initializer_range

// Normal numbers drawn by table: 2.2 GB of them should take seconds.
class NormalTable {
 public:
  explicit NormalTable(Random& random) {
    for (bf16& value : values_) value = to_bf16(kDeviation * random.normal());
  }
  bf16 operator[](uint64_t bits) const { return values_[bits & 0xffff]; }

 private:
  std::array<bf16, 1 << 16> values_;
};

Tensor random_tensor(const Shape& shape, const NormalTable& table, Random& random) {
  Tensor tensor = Tensor::empty(DType::kBF16, shape);
  const std::span<bf16> values = tensor.mutable_data<bf16>();
  for (size_t i = 0; i < values.size();) {
    uint64_t bits = random.next();
    for (int lane = 0; lane < 4 && i < values.size(); ++lane, bits >>= 16)
      values[i++] = table[bits];
  }
  return tensor;
}

Tensor ones(const Shape& shape) {
  Tensor tensor = Tensor::empty(DType::kBF16, shape);
  for (bf16& value : tensor.mutable_data<bf16>()) value = to_bf16(1.0f);
  return tensor;
}

// Every tensor that the architecture reads.
std::map<std::string, Shape> tensors_of(const ModelConfig& config) {
  const WeightLoader recorder;
  make_model(config, recorder);
  std::map<std::string, Shape> tensors;
  for (const ModuleInfo& module : recorder.modules()) {
    if (!module.tied_to.empty()) continue;
    if (module.kind == ModuleInfo::Kind::kParameter) {
      tensors[module.name] = {module.rows};
    } else {
      tensors[module.name + ".weight"] = {module.rows, module.cols};
      if (module.bias) tensors[module.name + ".bias"] = {module.rows};
    }
  }
  return tensors;
}

void make(const std::filesystem::path& config_path, const std::filesystem::path& destination,
          uint64_t seed) {
  const std::string text = read_text_file(config_path);
  const ModelConfig config =
      ModelConfig::from_json(nlohmann::ordered_json::parse(text), config_path.string());
  Random random(seed);
  const NormalTable table(random);
  CheckpointWriter writer(destination, {});
  for (const auto& [name, shape] : tensors_of(config)) {
    const bool norm = name.find("norm") != std::string::npos;
    writer.add(name, norm ? ones(shape) : random_tensor(shape, table, random));
  }
  writer.add_file("config.json", text);
  writer.commit();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    fmt::print(stderr, "usage: make_random_model CONFIG_JSON DESTINATION [SEED]\n");
    return 2;
  }
  try {
    make(argv[1], argv[2], argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 0);
  } catch (const std::exception& failure) {
    fmt::print(stderr, "make_random_model: {}\n", failure.what());
    return 1;
  }
  return 0;
}
