// SPDX-License-Identifier: Apache-2.0
//
// From a model folder to a model that runs: the one entry for users of the library. Reads
// config.json, maps the weights, quantizes them if asked, and keeps together what must live
// together. Weights that stay as the file has them are mapped, not copied.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nibble/backend/backend.h"
#include "nibble/base/progress.h"
#include "nibble/base/thread_pool.h"
#include "nibble/models/model.h"
#include "nibble/quant/bitsandbytes_config.h"

namespace nibble {

struct OpenOptions {
  std::string backend = "cpu";
  std::shared_ptr<ThreadPool> pool;                // null: one with all processors
  std::optional<BitsAndBytesConfig> quantization;  // quantize plain weights while loading
  std::optional<ActivationMode> activation;        // overrides that of quantized weights
  // Of plain weights, and of those to quantize before they are. Absent: the file's, but that of
  // config.json when weights are quantized while loading.
  std::optional<DType> dtype;
  // Of keys and values: float32, float16 or int8. Absent: float16 where `dtype`, or else that of
  // config.json, is a 16-bit one, and float32 otherwise.
  std::optional<DType> kv_cache_dtype;
  // A folder for quantized weights in the form that the backend reads: those that a load unpacks or
  // quantizes are kept in there, and mapped by the next (nn/weight_cache.h). Absent: none are kept.
  std::optional<std::filesystem::path> packed_cache;
  Progress* progress = nullptr;  // counts tensors of the checkpoint
};

struct OpenedModel {
  std::shared_ptr<ThreadPool> pool;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Model> model;
  std::vector<ModuleInfo> modules;    // in the order of the forward pass
  std::vector<std::string> warnings;  // one line each, for the user
  std::vector<std::string> notes;     // the same, of what is not wrong
  int64_t weight_bytes = 0;           // everything that stays in memory or mapped
  int64_t memory_footprint = 0;       // as get_memory_footprint() of transformers counts parameters
};

// A quantization_config in config.json wins over options.quantization, with a warning, as in
// transformers. Throws Error for a broken folder, with the file and what is wrong with it.
OpenedModel open_model(const std::filesystem::path& folder, OpenOptions options = {});

}  // namespace nibble
