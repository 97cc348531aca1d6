// SPDX-License-Identifier: Apache-2.0
//
// A plain model folder to a quantized one and back, on disk: tensor by tensor, so that memory holds
// the codes of one matrix, never the model (conversion.h). The result loads in transformers as it
// does here. Both go on with the work of a process that was ended when `writer_options` say so.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "nibble/base/progress.h"
#include "nibble/base/thread_pool.h"
#include "nibble/convert/conversion_report.h"
#include "nibble/io/checkpoint_writer.h"
#include "nibble/quant/scheme.h"

namespace nibble {

// Codes that calibration has chosen.
struct ChosenCodes {
  std::map<std::string, Weight> weights;  // by module
  std::map<std::string, Tensor> tensors;  // plain ones that take the place of the model's, by name
  std::filesystem::path texts;            // that they were chosen by; a job that is resumed has it
};

// The scheme of each module where they differ; all of one packing.
using ModuleSchemes = std::map<std::string, std::shared_ptr<const Scheme>>;

// Quantizes every Linear module that transformers would convert; every other tensor is copied as it
// is. config.json gains the scheme's quantization_config; tokenizer, chat template and
// generation_config.json are copied. Modules whose shape the packing cannot hold stay plain, and
// the config says so; Error where it cannot, or where no module is left. Throws Error for a model
// that is quantized already, for an unsupported architecture, for missing or mis-shaped weights and
// non-finite values. With `chosen` its codes and tensors are saved, and modules that it does not
// have stay plain. With `by_module` each module is quantized and saved by its own scheme there, and
// those that it does not have stay plain; the config is that of `scheme`.
ConversionReport quantize_model(const std::filesystem::path& source,
                                const std::filesystem::path& destination, const Scheme& scheme,
                                ThreadPool& pool, CheckpointWriterOptions writer_options = {},
                                Progress* progress = nullptr, const ChosenCodes* chosen = nullptr,
                                const ModuleSchemes* by_module = nullptr);

// The reverse: packed modules become plain matrices of `dtype` (default: the config's dtype), other
// float tensors are cast only when `dtype` is given; quantization_config goes from config.json.
// Throws Error for a model that is not quantized.
ConversionReport dequantize_model(const std::filesystem::path& source,
                                  const std::filesystem::path& destination,
                                  std::optional<DType> dtype, ThreadPool& pool,
                                  CheckpointWriterOptions writer_options = {},
                                  Progress* progress = nullptr);

}  // namespace nibble
