// SPDX-License-Identifier: Apache-2.0
//
// Real tokenizers against expected ids made by others. The data is no part of the project: it is
// looked for in $NIBBLE_SHARED_DATA, else beside the source folder; without it the tests are
// skipped.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "tests/testing/paths.h"
#include "tests/text/tokenizer_fixture.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

using paths::shared_data;

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// As the vectors were made: by tokenizer.json alone.
std::shared_ptr<const Tokenizer> open_tokenizer(const std::string& name) {
  const fs::path path = shared_data() / "tokenizers_hf" / name / "tokenizer.json";
  return fs::exists(path) ? Tokenizer::from_json(read_text(path), path.string()) : nullptr;
}

struct Vectors {
  const char* tokenizer;
  const char* file;
  const char* family;
};

class TransformersJsVectors : public testing::TestWithParam<Vectors> {};

TEST_P(TransformersJsVectors, EncodesAndDecodes) {
  const fs::path path = shared_data() / "token_vectors" / GetParam().file;
  const auto tokenizer = open_tokenizer(GetParam().tokenizer);
  if (!fs::exists(path) || tokenizer == nullptr) GTEST_SKIP() << "no shared data";
  const auto cases = nlohmann::json::parse(read_text(path)).at(GetParam().family);
  ASSERT_GT(cases.size(), 10u);
  for (const auto& [name, one] : cases.items()) {
    if (!one.contains("ids") || !one["text"].is_string()) continue;
    const Ids ids = tokenizer->encode(one["text"].get<std::string>());
    EXPECT_EQ(ids, one["ids"].get<Ids>()) << name;
    EXPECT_EQ(decode_both_ways(tokenizer, ids), tokenizer->decode(one["ids"].get<Ids>())) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, TransformersJsVectors,
                         testing::Values(Vectors{"llama3", "llama.json", "Xenova/llama3-tokenizer"},
                                         Vectors{"qwen3", "qwen2.json",
                                                 "Xenova/Qwen1.5-0.5B-Chat"}));

class GgmlVectors : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(GgmlVectors, Encodes) {
  const auto& [name, vocabulary] = GetParam();
  const fs::path base = shared_data() / "token_vectors" / (std::string("ggml-vocab-") + vocabulary);
  const auto tokenizer = open_tokenizer(name);
  if (!fs::exists(base.string() + ".gguf.inp") || tokenizer == nullptr) {
    GTEST_SKIP() << "no shared data";
  }
  const std::string separator = "\n__ggml_vocab_test__\n";
  const std::string texts = read_text(base.string() + ".gguf.inp");
  std::istringstream lines(read_text(base.string() + ".gguf.out"));
  int count = 0;
  size_t begin = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    std::istringstream numbers(line);
    const Ids expected{std::istream_iterator<int32_t>(numbers), {}};
    ASSERT_LE(begin, texts.size());
    const size_t end = std::min(texts.find(separator, begin), texts.size());
    const std::string text = texts.substr(begin, end - begin);
    EXPECT_EQ(tokenizer->encode(text, {.add_special_tokens = false}), expected) << text;
    begin = end + separator.size();
  }
  EXPECT_EQ(count, 46);
}

INSTANTIATE_TEST_SUITE_P(All, GgmlVectors,
                         testing::Values(std::pair("llama3", "llama-bpe"),
                                         std::pair("llama2", "llama-spm"),
                                         std::pair("qwen3", "qwen2")));

TEST(StoriesTokenizer, FolderGivesWhatTransformersGives) {
  const fs::path folder = shared_data() / "stories260k_hf";
  if (!fs::exists(folder)) GTEST_SKIP() << "no shared data";
  const auto tokenizer = Tokenizer::load(folder);
  EXPECT_EQ(
      tokenizer->encode("<s>Hello  world</s> x\n  y ."),
      (Ids{1, 1, 440, 411, 306, 414, 410, 263, 304, 341, 2, 410, 444, 13, 410, 348, 410, 426}));
  EXPECT_EQ(tokenizer->bos_token_id(), 1);
  EXPECT_EQ(tokenizer->eos_token_id(), 2);
  EXPECT_EQ(tokenizer->vocab_size(), 512);
}

}  // namespace
}  // namespace nibble
