// SPDX-License-Identifier: Apache-2.0
#include "nibble/models/open_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

#include "nibble/backend/registry.h"
#include "nibble/io/checkpoint.h"
#include "nibble/nn/weight_cache.h"
#include "nibble/nn/weight_cache_key.h"
#include "nibble/quant/registry.h"

namespace nibble {
namespace {

constexpr const char* kNothingToCache =
    "no packed weights to cache: all are mapped as the model's files have them";

// Old checkpoints carry the rotary frequencies, which are computed here.
bool is_derived(const std::string& name) { return name.ends_with("rotary_emb.inv_freq"); }

void warn_of_unused(const std::vector<std::string>& unused, std::vector<std::string>& warnings) {
  constexpr size_t kMostNamed = 5;
  size_t count = 0;
  std::vector<std::string> named;
  for (const std::string& name : unused) {
    if (is_derived(name)) continue;
    if (++count <= kMostNamed) named.push_back(name);
  }
  if (count == 0) return;
  warnings.push_back(fmt::format("{} {} of the checkpoint {} not used by the model: {}{}", count,
                                 count == 1 ? "tensor" : "tensors", count == 1 ? "is" : "are",
                                 fmt::join(named, ", "), count > kMostNamed ? ", ..." : ""));
}

// What became of the user's wish that weights be cached.
void tell_of_cache(const WeightCache& cache, OpenedModel& opened) {
  const auto modules = [](int64_t count) {
    return fmt::format("{} {}", count, count == 1 ? "module" : "modules");
  };
  if (!cache.failure().empty()) {
    opened.warnings.push_back("packed weights are not cached: " + cache.failure());
  }
  if (cache.refused() > 0) {
    opened.notes.push_back(fmt::format("cached weights of {} are made again: {}",
                                       modules(cache.refused()), cache.refusal()));
  } else if (cache.stored() > 0) {
    opened.notes.push_back(fmt::format("packed weights of {} are cached in {}",
                                       modules(cache.stored()), cache.folder().string()));
  } else if (cache.found() == 0 && cache.failure().empty()) {
    opened.notes.emplace_back(kNothingToCache);
  }
}

bool converts_any(const std::vector<ModuleInfo>& modules) {
  for (const ModuleInfo& module : modules) {
    if (module.quantizable) return true;
  }
  return false;
}

}  // namespace

OpenedModel open_model(const std::filesystem::path& folder, OpenOptions options) {
  OpenedModel opened;
  ModelConfig config = ModelConfig::load(folder);
  if (options.dtype) config.dtype = *options.dtype;  // as transformers does
  const Checkpoint checkpoint = Checkpoint::open(folder);
  opened.pool = options.pool ? std::move(options.pool) : std::make_shared<ThreadPool>();
  opened.backend = make_backend(options.backend, opened.pool);

  LoadOptions load;
  load.activation = options.activation;
  load.dtype = options.dtype;
  load.progress = options.progress;
  std::unique_ptr<Scheme> scheme;
  if (const auto quantization = find_quantization_config(folder, config.quantization)) {
    scheme = make_scheme(*quantization, quantization_file(folder, config.quantization).string());
    const std::vector<std::string>& notes = notes_of(*quantization);
    const std::vector<std::string> remarks = scheme->remarks(checkpoint);
    opened.warnings.insert(opened.warnings.end(), notes.begin(), notes.end());
    opened.warnings.insert(opened.warnings.end(), remarks.begin(), remarks.end());
    load.packed_with = scheme.get();
    if (options.quantization) {
      opened.warnings.push_back(
          "the checkpoint is quantized already: its quantization_config is used, the one given is "
          "not");
    }
  } else if (options.quantization) {
    scheme = make_scheme(*options.quantization);
    load.quantize_with = scheme.get();
    // transformers loads a model in the dtype of its config before it quantizes.
    if (config.dtype && is_held(*config.dtype)) load.dtype = config.dtype;
  }
  if (scheme) load.skip_modules = scheme->skip_modules();
  std::optional<WeightCache> cache;
  if (scheme && options.packed_cache) {
    cache.emplace(*options.packed_cache,
                  weight_cache_key({.checkpoint = checkpoint,
                                    .scheme = *scheme,
                                    .quantizes = load.quantize_with != nullptr,
                                    .dtype = load.dtype,
                                    .backend = opened.backend->name()}),
                  *opened.pool);
    load.cache = &*cache;
  }

  if (options.progress) {
    options.progress->begin(load.quantize_with ? "quantizing" : "loading",
                            static_cast<int64_t>(checkpoint.names().size()));
  }
  const WeightLoader loader(checkpoint, *opened.backend, *opened.pool, std::move(load));
  opened.model = make_model(config, loader);
  if (options.kv_cache_dtype) opened.model->set_kv_cache_dtype(*options.kv_cache_dtype);
  if (options.progress) options.progress->end();

  opened.modules = loader.modules();
  opened.weight_bytes = loader.weight_bytes();
  opened.memory_footprint = loader.memory_footprint();
  warn_of_unused(loader.unused(), opened.warnings);
  if (cache) {
    tell_of_cache(*cache, opened);
  } else if (options.packed_cache) {
    opened.notes.emplace_back(kNothingToCache);
  }
  if (scheme && !converts_any(opened.modules)) {
    opened.warnings.push_back(
        fmt::format("no module of the model is quantized with {}", scheme->name()));
  }
  return opened;
}

}  // namespace nibble
