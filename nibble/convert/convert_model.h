// SPDX-License-Identifier: Apache-2.0
//
// Any readable model to a Hugging Face folder: a GGUF file, or a model in safetensors or of
// torch.save that is written anew as safetensors, in other shards or another dtype.
#pragma once

#include <filesystem>
#include <optional>

#include "nibble/base/progress.h"
#include "nibble/base/thread_pool.h"
#include "nibble/convert/conversion_report.h"
#include "nibble/io/checkpoint_writer.h"
#include "nibble/tensor/dtype.h"

namespace nibble {

// True for a .gguf file.
bool is_gguf(const std::filesystem::path& path);

// `source`: a .gguf file (see import_gguf()), or what Checkpoint::open() takes. With `dtype` every
// float tensor is cast to it, which a quantized model refuses. Weights that the model shares are
// written once (repeated_weights()). Throws Error.
ConversionReport convert_model(const std::filesystem::path& source,
                               const std::filesystem::path& destination, std::optional<DType> dtype,
                               ThreadPool& pool, CheckpointWriterOptions writer_options = {},
                               Progress* progress = nullptr);

}  // namespace nibble
