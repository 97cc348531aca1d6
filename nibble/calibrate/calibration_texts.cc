// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/calibration_texts.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "nibble/base/error.h"
#include "nibble/base/random.h"
#include "nibble/io/json_list.h"
#include "nibble/io/text_list.h"
#include "nibble/io/text_source.h"

namespace nibble {
namespace {

// As in GPTQModel: titles and scraps say little about a model's inputs.
constexpr size_t kLeastTokens = 11;

using Sequences = std::vector<std::vector<int32_t>>;

Sequences sequences_of_list(const std::filesystem::path& file, const Tokenizer& tokenizer,
                            const CalibrationTextOptions& options) {
  Sequences sequences;
  for_each_listed_text(file, 0, [&](const std::string& text) {
    std::vector<int32_t> ids = tokenizer.encode(text);
    if (ids.size() < kLeastTokens) return true;
    ids.resize(std::min(ids.size(), static_cast<size_t>(options.seqlen)));
    sequences.push_back(std::move(ids));
    return static_cast<int64_t>(sequences.size()) < options.samples;
  });
  if (sequences.empty()) {
    throw Error("no text to calibrate with")
        .file(file)
        .expected(fmt::format("a text of at least {} tokens", kLeastTokens));
  }
  return sequences;
}

Sequences windows_of_text(const std::filesystem::path& file, const Tokenizer& tokenizer,
                          const CalibrationTextOptions& options) {
  const std::vector<int32_t> ids = tokenizer.encode(read_text(file));
  const auto length = static_cast<int64_t>(ids.size());
  if (length < options.seqlen) {
    throw Error("the text is too short to calibrate with")
        .file(file)
        .expected(fmt::format("at least {} tokens", options.seqlen))
        .got(fmt::format("{}", length))
        .hint("give a longer text, or shorter sequences with --calibration-seqlen");
  }
  Random random(options.seed);
  const auto starts = static_cast<uint64_t>(length - options.seqlen + 1);
  Sequences sequences;
  for (int64_t i = 0; i < options.samples; ++i) {
    const auto start = ids.begin() + static_cast<int64_t>(random.next() % starts);
    sequences.emplace_back(start, start + options.seqlen);
  }
  return sequences;
}

}  // namespace

std::vector<std::vector<int32_t>> calibration_sequences(const std::filesystem::path& file,
                                                        const Tokenizer& tokenizer,
                                                        const CalibrationTextOptions& options) {
  if (options.samples < 1 || options.seqlen < static_cast<int64_t>(kLeastTokens)) {
    throw Error("bad size of the calibration")
        .expected(fmt::format("at least 1 sample of at least {} tokens", kLeastTokens))
        .got(fmt::format("{} of {}", options.samples, options.seqlen));
  }
  return is_json_list(file) ? sequences_of_list(file, tokenizer, options)
                            : windows_of_text(file, tokenizer, options);
}

}  // namespace nibble
