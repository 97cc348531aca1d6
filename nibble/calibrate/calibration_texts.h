// SPDX-License-Identifier: Apache-2.0
//
// The token sequences that a model is calibrated with, from a file of the user's. The same file,
// options and seed give the same sequences.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "nibble/text/tokenizer.h"

namespace nibble {

struct CalibrationTextOptions {
  int64_t samples = 128;  // sequences at most
  int64_t seqlen = 2048;  // tokens of a sequence at most
  uint64_t seed = 0;      // of the windows of one long text
};

// Of a .json list or a .jsonl file the first `samples` texts that have more than ten tokens, each
// cut at `seqlen`; everything else is one text, of which `samples` windows of `seqlen` are drawn.
// Throws Error with the file when it has no text that is long enough.
std::vector<std::vector<int32_t>> calibration_sequences(const std::filesystem::path& file,
                                                        const Tokenizer& tokenizer,
                                                        const CalibrationTextOptions& options);

}  // namespace nibble
