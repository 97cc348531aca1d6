// SPDX-License-Identifier: Apache-2.0
//
// What a model is made of, as data: its modules with shape, dtype, scheme and size, the totals, and
// how far a quantized model's matrices are from another model's. Printing is the caller's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nibble/base/progress.h"
#include "nibble/base/thread_pool.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

// Of a matrix A against B, element by element.
struct MatrixError {
  double max_abs = 0;       // max |a - b|
  double relative_rms = 0;  // sqrt(sum (a - b)^2 / sum b^2); 0 for two zero matrices
};

struct InspectedTensor {
  std::string name;
  std::string type;  // as the format names it: "BF16", "Q4_K"
  Shape shape;
  int64_t bytes = 0;
};

struct InspectedModule {
  std::string name;
  std::string kind;            // "linear", "embedding", "parameter"; of a config also "norm", ...
  Shape shape;                 // of the weight
  std::string dtype;           // of a plain weight as stored: "BF16"; of packed codes: "U8", "I8"
  std::string scheme;          // "nf4", "int8"; empty: plain
  std::string tied_to;         // has no weight of its own then, and no bytes
  int64_t parameters = 0;      // of the weight and the bias, before quantization
  int64_t bytes = 0;           // of all its tensors
  double bits_per_weight = 0;  // side tensors included, bias not
  std::optional<MatrixError> error;  // with `compare`, for matrices
};

// A quantization_config, whether or not its method can be run.
struct InspectedQuantization {
  std::string method;                     // quant_method
  std::string format;                     // the packing where a method has several: "gemm"
  double bits = 0;                        // of a code
  std::optional<int64_t> group_size;      // weights that share a scale; -1: a whole row
  std::vector<std::string> skip_modules;  // left alone: the whole list if the modules are known
  int64_t linear_modules = 0, converted_modules = 0;  // 0 where modules are not known
  nlohmann::ordered_json config;                      // as transformers would write it
  std::vector<std::string> notes;                     // keys that were ignored and the like
};

struct Inspection {
  std::string format;      // "safetensors", "pytorch", "gguf"; "config": config.json alone
  std::string model_type;  // "llama", and below: empty where only tensors are known
  std::string scheme;      // of the quantization_config; empty: plain
  std::vector<InspectedModule> modules;
  std::vector<InspectedTensor> tensors;  // in the order of the file(s)
  std::string note;                      // why there are no modules, or no weights
  std::optional<InspectedQuantization> quantization;

  int64_t parameters = 0;  // without modules: elements of all tensors
  int64_t bytes = 0;       // of all tensors
  // What get_memory_footprint() of transformers says: parameters and buffers (the rotary
  // frequencies), packed weights without their scales. 0 without modules.
  int64_t memory_footprint = 0;
  std::optional<MatrixError> error;  // over all compared matrices
};

// `path`: a model folder, a .safetensors, .gguf or torch.save file. A file, and a folder whose
// config.json is absent or of an unsupported architecture, gives tensors only. `compare_with` is
// the model folder that errors are measured against; both must have modules then. Throws Error.
Inspection inspect_model(const std::filesystem::path& path,
                         const std::optional<std::filesystem::path>& compare_with, ThreadPool& pool,
                         Progress* progress = nullptr);

}  // namespace nibble
