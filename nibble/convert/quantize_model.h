// SPDX-License-Identifier: Apache-2.0
//
// A plain model folder to a quantized one and back, on disk: tensor by tensor, so that memory holds
// one matrix and its codes, never the model. The result loads in transformers as it does here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "nibble/base/progress.h"
#include "nibble/base/thread_pool.h"
#include "nibble/io/checkpoint_writer.h"
#include "nibble/quant/scheme.h"

namespace nibble {

struct ConversionReport {
  int64_t tensors = 0;                        // written
  int64_t modules_converted = 0;              // Linear modules quantized or dequantized
  int64_t modules_kept = 0;                   // Linear modules left as they were
  int64_t bytes_before = 0, bytes_after = 0;  // of tensor data
  double seconds = 0;
};

// Quantizes every Linear module that transformers would convert; every other tensor is copied as it
// is. config.json gains the scheme's quantization_config; tokenizer, chat template and
// generation_config.json are copied. Throws Error for a model that is quantized already, for an
// unsupported architecture, for missing or mis-shaped weights and non-finite values.
ConversionReport quantize_model(const std::filesystem::path& source,
                                const std::filesystem::path& destination, const Scheme& scheme,
                                ThreadPool& pool, CheckpointWriterOptions writer_options = {},
                                Progress* progress = nullptr);

// The reverse: packed modules become plain matrices of `dtype` (default: the config's dtype), other
// float tensors are cast only when `dtype` is given; quantization_config goes from config.json.
// Throws Error for a model that is not quantized.
ConversionReport dequantize_model(const std::filesystem::path& source,
                                  const std::filesystem::path& destination,
                                  std::optional<DType> dtype, ThreadPool& pool,
                                  CheckpointWriterOptions writer_options = {},
                                  Progress* progress = nullptr);

}  // namespace nibble
