// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "nibble/base/error.h"
#include "nibble/models/llama.h"
#include "nibble/models/model.h"
#include "nibble/nn/skip_modules.h"

namespace nibble {
namespace {

using Factory = std::unique_ptr<Model> (*)(const ModelConfig&, const WeightLoader&);

template <typename T>
std::unique_ptr<Model> make(const ModelConfig& config, const WeightLoader& loader) {
  return std::make_unique<T>(config, loader);
}

struct Entry {
  const char* model_type;
  Factory factory;
};

constexpr Entry kModels[] = {
    {"llama", make<LlamaModel>},
    {"mistral", make<LlamaModel>},
    {"qwen2", make<LlamaModel>},
    {"qwen3", make<LlamaModel>},
};

Factory factory_of(const std::string& model_type) {
  for (const Entry& entry : kModels) {
    if (model_type == entry.model_type) return entry.factory;
  }
  throw Error("model_type is not supported")
      .expected(fmt::format("one of {}", fmt::join(supported_model_types(), ", ")))
      .got(model_type);
}

}  // namespace

std::vector<std::string> supported_model_types() {
  std::vector<std::string> types;
  for (const Entry& entry : kModels) types.emplace_back(entry.model_type);
  return types;
}

std::unique_ptr<Model> make_model(const ModelConfig& config, const WeightLoader& loader) {
  const Factory factory = factory_of(config.model_type);
  if (loader.wants_skip_modules()) {
    const WeightLoader recorder;
    factory(config, recorder);
    loader.set_skip_modules(automatic_skip_modules(names_of(recorder.modules()), HfRelease::kV5));
  }
  return factory(config, loader);
}

}  // namespace nibble
