// SPDX-License-Identifier: Apache-2.0
//
// The token sequences that a model is calibrated with, from a file of the user's. The same file,
// options and seed give the same sequences.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

#include "nibble/text/tokenizer.h"

namespace nibble {

// How sequences are taken of texts.
enum class CalibrationConvention : uint8_t {
  // Of a list the first texts that have more than ten tokens, each cut at `seqlen`; of any other
  // file windows of one text.
  kAuto,
  // As in the code of the GPTQ paper, number for number of Python's random module, seed 0: windows
  // of all texts joined by blank lines. What is no list is the file as WikiText is published: its
  // lines are the texts, as in the data set on the hub.
  kWikitext2,
  // The same code's for C4: a random text that has more than `seqlen` tokens, and a window of it.
  kC4,
  // As in AutoAWQ, for the Pile: texts in the order of Dataset.shuffle(seed=42), without blanks at
  // their ends, those of more than `seqlen` tokens passed over; the first `samples` of them are
  // joined and cut into blocks, of which there are fewer than `samples`.
  kPileval,
};

// "auto", "wikitext2", "c4", "pileval". The second throws Error for other names.
const char* to_string(CalibrationConvention convention);
CalibrationConvention parse_calibration_convention(std::string_view name);

struct CalibrationTextOptions {
  int64_t samples = 128;  // sequences at most
  int64_t seqlen = 2048;  // tokens of a sequence at most
  CalibrationConvention convention = CalibrationConvention::kAuto;
  std::optional<uint64_t> seed = {};  // absent: that of the convention
};

// 0, or 42 for kPileval.
uint64_t calibration_seed(const CalibrationTextOptions& options);

// `file` is a .json list, a .jsonl file or anything else, which is one text; each plain or .zst.
// Throws Error with the file when it has no text that is long enough, or is no list where the
// convention has one.
std::vector<std::vector<int32_t>> calibration_sequences(const std::filesystem::path& file,
                                                        const Tokenizer& tokenizer,
                                                        const CalibrationTextOptions& options);

}  // namespace nibble
