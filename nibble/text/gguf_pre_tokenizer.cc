// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/gguf_pre_tokenizer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string_view>
#include <utility>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/text/pretokenizer.h"
#include "nibble/text/section_parts.h"

namespace nibble {
namespace {

using nlohmann::json;

constexpr const char* kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kTekkenPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kGpt4oPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

json split(std::string_view pattern) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", pattern}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

json digits(bool individual) { return {{"type", "Digits"}, {"individual_digits", individual}}; }

json sequence(std::vector<json> steps) {
  return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

json one_pattern(const char* pattern) { return sequence({split(pattern), byte_level(false)}); }

enum class Kind {
  kDefault,
  kGpt2,
  kDigitsGpt2,
  kFalcon,
  kLlama3,
  kLlama3Merging,
  kQwen2,
  kQwen2Plain,
  kTekken,
  kGpt4o
};

constexpr std::pair<std::string_view, Kind> kNames[] = {
    {"default", Kind::kDefault},
    {"gpt-2", Kind::kGpt2},
    {"phi-2", Kind::kGpt2},
    {"mpt", Kind::kGpt2},
    {"olmo", Kind::kGpt2},
    {"smollm", Kind::kDigitsGpt2},
    {"starcoder", Kind::kDigitsGpt2},
    {"refact", Kind::kDigitsGpt2},
    {"command-r", Kind::kDigitsGpt2},
    {"codeshell", Kind::kDigitsGpt2},
    {"falcon", Kind::kFalcon},
    {"llama-bpe", Kind::kLlama3},
    {"llama3", Kind::kLlama3},
    {"llama-v3", Kind::kLlama3},
    {"dbrx", Kind::kLlama3Merging},
    {"smaug-bpe", Kind::kLlama3Merging},
    {"qwen2", Kind::kQwen2},
    {"deepseek-r1-qwen", Kind::kQwen2Plain},
    {"stablelm2", Kind::kQwen2Plain},
    {"tekken", Kind::kTekken},
    {"gpt-4o", Kind::kGpt4o},
    {"llama4", Kind::kGpt4o},
};

GgufPreTokenizer make(Kind kind) {
  switch (kind) {
    case Kind::kDefault:
      // Files from before the names existed; llama.cpp splits them so.
      return {.pre_tokenizer =
                  sequence({split(R"([\p{P}\$\+<=>\^~\|]+)"), split(kGpt2Pattern),
                            split(R"(\p{N}+)"), split("[0-9][0-9][0-9]"), byte_level(false)})};
    case Kind::kGpt2:
      return {.pre_tokenizer = byte_level(true)};
    case Kind::kDigitsGpt2:
      return {.pre_tokenizer = sequence({digits(true), byte_level(true)})};
    case Kind::kFalcon:
      return {.pre_tokenizer = sequence({{{"type", "Punctuation"}, {"behavior", "Contiguous"}},
                                         byte_level(true),
                                         digits(false),
                                         split("[0-9][0-9][0-9]")})};
    case Kind::kLlama3:
      return {.pre_tokenizer = one_pattern(kLlama3Pattern), .ignore_merges = true, .add_bos = true};
    case Kind::kLlama3Merging:
      return {.pre_tokenizer = one_pattern(kLlama3Pattern)};
    case Kind::kQwen2:
      return {.normalizer = {{"type", "NFC"}},
              .pre_tokenizer = one_pattern(sections::kQwen2Pattern)};
    case Kind::kQwen2Plain:
      return {.pre_tokenizer = one_pattern(sections::kQwen2Pattern)};
    case Kind::kTekken:
      return {.pre_tokenizer = one_pattern(kTekkenPattern), .ignore_merges = true, .add_bos = true};
    case Kind::kGpt4o:
      return {.pre_tokenizer = one_pattern(kGpt4oPattern)};
  }
  return {};
}

}  // namespace

GgufPreTokenizer gguf_pre_tokenizer(const std::string& name, const std::string& source) {
  const std::string_view wanted = name.empty() ? "default" : std::string_view(name);
  std::vector<std::string_view> known;
  for (const auto& [known_name, kind] : kNames) {
    if (known_name == wanted) return make(kind);
    known.push_back(known_name);
  }
  throw Error("the pre-tokenizer of the GGUF vocabulary is not known")
      .file(source)
      .got(name)
      .hint(fmt::format("known are {}", fmt::join(known, ", ")));
}

}  // namespace nibble
