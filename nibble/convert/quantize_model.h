// SPDX-License-Identifier: Apache-2.0
//
// A plain model folder to a quantized one and back, on disk: tensor by tensor, so that memory holds
// the codes of one matrix, never the model (conversion.h). The result loads in transformers as it
// does here. Both go on with the work of a process that was ended when `writer_options` say so.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nibble/base/progress.h"
#include "nibble/base/thread_pool.h"
#include "nibble/convert/conversion_report.h"
#include "nibble/io/checkpoint_writer.h"
#include "nibble/quant/scheme.h"

namespace nibble {

// Codes of a block that calibration has chosen.
struct ChosenCodes {
  std::map<std::string, Weight> weights;  // by module
  std::map<std::string, Tensor> tensors;  // plain ones that take the place of the model's, by name
};

// How a calibration chooses the codes of a model, block by block.
struct CodeChoice {
  std::filesystem::path texts;       // that codes are chosen by; a job that is resumed has it
  std::vector<std::string> modules;  // that have codes
  std::vector<std::string> blocks;   // what the names of the tensors of each begin with
  // Calls `take` for block by block, in their order, from `first_block` or an earlier one on.
  // `folder`, which need not exist, is for files of its own, and in a job that is resumed it is as
  // it was left.
  using Take = std::function<void(int64_t block, const ChosenCodes& codes)>;
  std::function<void(const std::filesystem::path& folder, int64_t first_block, const Take& take)>
      run;
};

// The scheme of each module where they differ; all of one packing.
using ModuleSchemes = std::map<std::string, std::shared_ptr<const Scheme>>;

// Quantizes every Linear module that transformers would convert; every other tensor is copied as it
// is. config.json gains the scheme's quantization_config; tokenizer, chat template and
// generation_config.json are copied. Modules whose shape the packing cannot hold stay plain, and
// the config says so; Error where it cannot, or where no module is left. Throws Error for a model
// that is quantized already, for an unsupported architecture, for missing or mis-shaped weights and
// non-finite values. With `choice` a block is saved as soon as its codes are chosen, and modules
// that it does not name stay plain; progress is then the business of whoever chooses. With
// `by_module` each module is quantized and saved by its own scheme there, and those that it does
// not have stay plain; the config is that of `scheme`.
ConversionReport quantize_model(const std::filesystem::path& source,
                                const std::filesystem::path& destination, const Scheme& scheme,
                                ThreadPool& pool, CheckpointWriterOptions writer_options = {},
                                Progress* progress = nullptr, const CodeChoice* choice = nullptr,
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
