// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/calibration_texts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>

#include "nibble/base/error.h"
#include "nibble/base/random.h"
#include "nibble/base/reference_random.h"
#include "nibble/io/json_list.h"
#include "nibble/io/text_list.h"
#include "nibble/io/text_source.h"

namespace nibble {
namespace {

// As in GPTQModel: titles and scraps say little about a model's inputs.
constexpr size_t kLeastTokens = 11;

constexpr std::array kConventionNames = {"auto", "wikitext2", "c4", "pileval"};

using Ids = std::vector<int32_t>;
using Sequences = std::vector<Ids>;

int64_t length_of(const Ids& ids) { return static_cast<int64_t>(ids.size()); }

Ids window_of(const Ids& ids, int64_t start, int64_t seqlen) {
  return {ids.begin() + start, ids.begin() + start + seqlen};
}

Sequences sequences_of_list(const std::filesystem::path& file, const Tokenizer& tokenizer,
                            const CalibrationTextOptions& options) {
  Sequences sequences;
  for_each_listed_text(file, 0, [&](const std::string& text) {
    Ids ids = tokenizer.encode(text);
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

void check_length(const Ids& ids, int64_t least, const std::filesystem::path& file) {
  if (length_of(ids) >= least) return;
  throw Error("the text is too short to calibrate with")
      .file(file)
      .expected(fmt::format("at least {} tokens", least))
      .got(fmt::format("{}", ids.size()))
      .hint("give a longer text, or shorter sequences with --calibration-seqlen");
}

Sequences windows_of_text(const std::filesystem::path& file, const Tokenizer& tokenizer,
                          const CalibrationTextOptions& options) {
  const Ids ids = tokenizer.encode(read_text(file));
  check_length(ids, options.seqlen, file);
  Random random(calibration_seed(options));
  const auto starts = static_cast<uint64_t>(length_of(ids) - options.seqlen + 1);
  Sequences sequences;
  for (int64_t i = 0; i < options.samples; ++i) {
    const auto start = static_cast<int64_t>(random.next() % starts);
    sequences.push_back(window_of(ids, start, options.seqlen));
  }
  return sequences;
}

// A window that begins at any place but the last one, as in the code for GPTQ.
Ids python_window(const Ids& ids, int64_t seqlen, PythonRandom& random) {
  return window_of(ids, random.randint(0, length_of(ids) - seqlen - 1), seqlen);
}

// The rows of the data set: the entries of a list; of a file as WikiText is published its lines
// with their line breaks, blank ones as nothing.
std::string wikitext_rows_joined(const std::filesystem::path& file) {
  constexpr std::string_view kBetween = "\n\n";
  if (is_json_list(file)) return fmt::format("{}", fmt::join(read_text_list(file), kBetween));
  std::string joined;
  bool first = true;
  for_each_line(file, [&](std::string_view line) {
    if (!first) joined += kBetween;
    first = false;
    if (!is_blank_line(line)) joined.append(line).push_back('\n');
    return true;
  });
  return joined;
}

Sequences wikitext2_sequences(const std::filesystem::path& file, const Tokenizer& tokenizer,
                              const CalibrationTextOptions& options) {
  const std::string text = wikitext_rows_joined(file);
  const Ids ids = tokenizer.encode(text);
  check_length(ids, options.seqlen + 1, file);
  PythonRandom random(calibration_seed(options));
  Sequences sequences;
  for (int64_t i = 0; i < options.samples; ++i) {
    sequences.push_back(python_window(ids, options.seqlen, random));
  }
  return sequences;
}

Sequences c4_sequences(const std::filesystem::path& file, const Tokenizer& tokenizer,
                       const CalibrationTextOptions& options) {
  const TextList texts(file);
  PythonRandom random(calibration_seed(options));
  std::set<int64_t> too_short;
  Sequences sequences;
  while (static_cast<int64_t>(sequences.size()) < options.samples) {
    if (static_cast<int64_t>(too_short.size()) == texts.size()) {
      throw Error("no text is long enough to calibrate with")
          .file(file)
          .expected(fmt::format("a text of more than {} tokens", options.seqlen))
          .hint("give longer texts, or shorter sequences with --calibration-seqlen");
    }
    const int64_t drawn = random.randint(0, texts.size() - 1);
    if (too_short.contains(drawn)) continue;
    const Ids ids = tokenizer.encode(texts.text(drawn));
    if (length_of(ids) > options.seqlen) {
      sequences.push_back(python_window(ids, options.seqlen, random));
    } else {
      too_short.insert(drawn);
    }
  }
  return sequences;
}

// What Python's str.strip() takes off, of ASCII.
std::string_view stripped(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\n\r\v\f\x1c\x1d\x1e\x1f";
  const size_t begin = std::min(text.find_first_not_of(kBlanks), text.size());
  return text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

Sequences pileval_sequences(const std::filesystem::path& file, const Tokenizer& tokenizer,
                            const CalibrationTextOptions& options) {
  const TextList texts(file);
  Ids joined;
  int64_t taken = 0;
  for (const int64_t index : numpy_permutation(calibration_seed(options), texts.size())) {
    if (taken == options.samples) break;
    const std::string text = texts.text(index);
    const Ids ids = tokenizer.encode(stripped(text));
    if (ids.empty() || length_of(ids) > options.seqlen) continue;
    joined.insert(joined.end(), ids.begin(), ids.end());
    ++taken;
  }
  check_length(joined, options.seqlen, file);
  Sequences sequences;
  for (int64_t at = 0; at + options.seqlen <= length_of(joined); at += options.seqlen) {
    sequences.push_back(window_of(joined, at, options.seqlen));
  }
  return sequences;
}

}  // namespace

const char* to_string(CalibrationConvention convention) {
  return kConventionNames.at(static_cast<size_t>(convention));
}

CalibrationConvention parse_calibration_convention(std::string_view name) {
  const auto found = std::ranges::find(kConventionNames, name);
  if (found != kConventionNames.end()) {
    return static_cast<CalibrationConvention>(found - kConventionNames.begin());
  }
  throw Error("there is no such convention of calibration")
      .expected(fmt::format("one of {}", fmt::join(kConventionNames, ", ")))
      .got(std::string(name));
}

uint64_t calibration_seed(const CalibrationTextOptions& options) {
  return options.seed.value_or(options.convention == CalibrationConvention::kPileval ? 42 : 0);
}

std::vector<std::vector<int32_t>> calibration_sequences(const std::filesystem::path& file,
                                                        const Tokenizer& tokenizer,
                                                        const CalibrationTextOptions& options) {
  if (options.samples < 1 || options.seqlen < static_cast<int64_t>(kLeastTokens)) {
    throw Error("bad size of the calibration")
        .expected(fmt::format("at least 1 sample of at least {} tokens", kLeastTokens))
        .got(fmt::format("{} of {}", options.samples, options.seqlen));
  }
  switch (options.convention) {
    case CalibrationConvention::kAuto:
      return is_json_list(file) ? sequences_of_list(file, tokenizer, options)
                                : windows_of_text(file, tokenizer, options);
    case CalibrationConvention::kWikitext2:
      return wikitext2_sequences(file, tokenizer, options);
    case CalibrationConvention::kC4:
      return c4_sequences(file, tokenizer, options);
    case CalibrationConvention::kPileval:
      return pileval_sequences(file, tokenizer, options);
  }
  return {};
}

}  // namespace nibble
