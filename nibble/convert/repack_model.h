// SPDX-License-Identifier: Apache-2.0
//
// A quantized model folder to the same numbers in another packing: codes, scales and zeros go
// through as they are, so that nothing is lost and nothing is quantized anew.
#pragma once

#include <filesystem>
#include <string>

#include "nibble/base/progress.h"
#include "nibble/base/thread_pool.h"
#include "nibble/convert/conversion_report.h"
#include "nibble/io/checkpoint_writer.h"

namespace nibble {

// `packing`: one of packing_names() of quant/repacking.h. Throws Error for a model that is not
// quantized, and with the tensor for a weight that the packing cannot hold: other bits, act-order,
// zeros that are no codes, shapes that its kernel does not have.
ConversionReport repack_model(const std::filesystem::path& source,
                              const std::filesystem::path& destination, const std::string& packing,
                              ThreadPool& pool, CheckpointWriterOptions writer_options = {},
                              Progress* progress = nullptr);

}  // namespace nibble
