// SPDX-License-Identifier: Apache-2.0
//
// The vocabularies of real GGUF files against ids made by others. The data is no part of the
// project: without it the tests are skipped.
#include "nibble/convert/gguf_vocabulary.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "nibble/text/tokenizer.h"
#include "tests/testing/paths.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class GgufVocabularies : public ::testing::TestWithParam<const char*> {};

TEST_P(GgufVocabularies, EncodesAsTheirMakers) {
  const std::string base =
      (paths::shared_data() / "token_vectors" / (std::string("ggml-vocab-") + GetParam() + ".gguf"))
          .string();
  if (!fs::exists(base)) GTEST_SKIP() << "no shared data";
  const TokenizerFiles files =
      make_tokenizer_files(read_gguf_vocabulary(GgufFile::open(base)), base);
  const auto tokenizer =
      Tokenizer::from_json(files.tokenizer_json, base, files.tokenizer_config_json);
  const std::string separator = "\n__ggml_vocab_test__\n";
  const std::string texts = read_text(base + ".inp");
  std::istringstream lines(read_text(base + ".out"));
  int count = 0;
  size_t begin = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    std::istringstream numbers(line);
    const std::vector<int32_t> expected{std::istream_iterator<int32_t>(numbers), {}};
    ASSERT_LE(begin, texts.size());
    const size_t end = std::min(texts.find(separator, begin), texts.size());
    const std::string text = texts.substr(begin, end - begin);
    EXPECT_EQ(tokenizer->encode(text, {.add_special_tokens = false}), expected) << text;
    begin = end + separator.size();
  }
  EXPECT_EQ(count, 46);
}

INSTANTIATE_TEST_SUITE_P(All, GgufVocabularies,
                         ::testing::Values("bert-bge", "gpt-2", "llama-spm"));

}  // namespace
}  // namespace nibble
