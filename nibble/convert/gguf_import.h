// SPDX-License-Identifier: Apache-2.0
//
// A GGUF file to a Hugging Face folder: config, generation config, tokenizer and weights, so that
// everything else of nibble, and transformers, can read it. Weights come decoded: GGUF's own
// quantization is not one of Hugging Face's.
#pragma once

#include <filesystem>
#include <optional>

#include "nibble/base/progress.h"
#include "nibble/base/thread_pool.h"
#include "nibble/convert/conversion_report.h"
#include "nibble/io/checkpoint_writer.h"
#include "nibble/tensor/dtype.h"

namespace nibble {

// Architectures: llama (which llama.cpp also writes for Mistral), qwen2, qwen3. `dtype` of all
// tensors; absent: the file's if its matrices have one plain float type, else bfloat16. Throws
// Error for other architectures, for metadata or tensors that are missing or contradict each other,
// and for tensors that the architecture does not have.
ConversionReport import_gguf(const std::filesystem::path& file,
                             const std::filesystem::path& destination, std::optional<DType> dtype,
                             ThreadPool& pool, CheckpointWriterOptions writer_options = {},
                             Progress* progress = nullptr);

}  // namespace nibble
