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

// A folder of an older tokenizer, made of files under other names.
struct OldFolder {
  std::vector<std::pair<const char*, const char*>> files;  // from, to
  nlohmann::json config;
};

std::shared_ptr<const Tokenizer> open_old_folder(const OldFolder& old) {
  const fs::path folder =
      fs::path(testing::TempDir()) /
      (std::string("nibble_") + testing::UnitTest::GetInstance()->current_test_info()->name());
  fs::remove_all(folder);
  fs::create_directories(folder);
  for (const auto& [from, to] : old.files) {
    const fs::path path = shared_data() / "tokenizers_hf" / from;
    if (!fs::exists(path)) return nullptr;
    std::ofstream(folder / to, std::ios::binary) << read_text(path);
  }
  std::ofstream(folder / "tokenizer_config.json") << old.config.dump();
  auto tokenizer = Tokenizer::load(folder);
  fs::remove_all(folder);
  return tokenizer;
}

struct Vectors {
  const char* file;
  const char* family;
  const char* tokenizer = nullptr;  // of tokenizers_hf, by its tokenizer.json alone
  const char* folder = nullptr;     // the same as a folder, as AutoTokenizer opens it
  OldFolder old = {};
  const char* missing = nullptr;  // why it cannot be tried
  bool cleans_up = false;         // transformers.js cleaned up the decoded text
  const char* lost = nullptr;     // a character that the file at hand has lost from its vocabulary
};

void PrintTo(const Vectors& vectors, std::ostream* out) { *out << vectors.family; }

class TransformersJsVectors : public testing::TestWithParam<Vectors> {};

TEST_P(TransformersJsVectors, EncodesAndDecodes) {
  const Vectors& vectors = GetParam();
  if (vectors.missing != nullptr) GTEST_SKIP() << vectors.family << ": " << vectors.missing;
  const fs::path path = shared_data() / "token_vectors" / vectors.file;
  if (!fs::exists(path)) GTEST_SKIP() << "no shared data";
  const auto tokenizer = vectors.tokenizer != nullptr ? open_tokenizer(vectors.tokenizer)
                         : vectors.folder != nullptr
                             ? Tokenizer::load(shared_data() / "tokenizers_hf" / vectors.folder)
                             : open_old_folder(vectors.old);
  ASSERT_NE(tokenizer, nullptr);
  const auto cases = nlohmann::json::parse(read_text(path)).at(vectors.family);
  const DecodeOptions options{.clean_up_tokenization_spaces = vectors.cleans_up};
  for (const auto& [name, one] : cases.items()) {
    if (!one.contains("ids") || !one["text"].is_string()) continue;
    if (vectors.lost != nullptr &&
        one["text"].get<std::string>().find(vectors.lost) != std::string::npos) {
      continue;
    }
    const Ids expected = one["ids"];
    Ids ids;
    if (one.contains("text_pair")) {
      const auto text = one["text"].get<std::string>();
      const auto pair = one["text_pair"].get<std::string>();
      ids = tokenizer->encode_input({.text = text, .pair = pair}).ids;
    } else {
      ids = tokenizer->encode(one["text"].get<std::string>());
    }
    EXPECT_EQ(ids, expected) << name;
    if (!one.contains("decoded") || !one["decoded"].is_string()) continue;
    EXPECT_EQ(decode_both_ways(tokenizer, expected, options), one["decoded"].get<std::string>())
        << name;
  }
}

const OldFolder kBert = {{{"bert/bert_base_uncased_vocab.txt", "vocab.txt"}},
                         {{"tokenizer_class", "BertTokenizer"}}};
const OldFolder kBertCased = {{{"bert/bert_base_cased_vocab.txt", "vocab.txt"}},
                              {{"tokenizer_class", "BertTokenizer"}, {"do_lower_case", false}}};
const OldFolder kGpt2 = {
    {{"gpt2/gpt2_bpe_encoder.json", "encoder.json"}, {"gpt2/gpt2_bpe_vocab.bpe", "vocab.bpe"}},
    {{"tokenizer_class", "GPT2Tokenizer"}}};
const OldFolder kGpt2Named = {
    {{"gpt2/gpt2.vocab", "vocab.json"}, {"gpt2/gpt2.merges.txt", "merges.txt"}},
    nlohmann::json::object()};
const OldFolder kT5 = {{{"t5-small/t5_tokenizer_base.model", "spiece.model"}},
                       {{"tokenizer_class", "T5Tokenizer"}}};
constexpr const char* kNotAtHand = "its tokenizer is not at hand";

INSTANTIATE_TEST_SUITE_P(
    All, TransformersJsVectors,
    testing::Values(
        Vectors{.file = "llama.json",
                .family = "Xenova/llama-tokenizer",
                .tokenizer = "llama2",
                .lost = "\xC2\xA0"},  // written as a plain space there
        Vectors{.file = "llama.json",
                .family = "Xenova/llama3-tokenizer",
                .tokenizer = "llama3",
                .cleans_up = true},
        Vectors{.file = "qwen2.json", .family = "Xenova/Qwen1.5-0.5B-Chat", .tokenizer = "qwen3"},
        Vectors{.file = "t5.json",
                .family = "Xenova/t5-small",
                .tokenizer = "t5-small",
                .cleans_up = true},
        Vectors{.file = "t5.json",
                .family = "google-t5/t5-small",
                .folder = "t5-small",
                .cleans_up = true},
        Vectors{.file = "t5.json", .family = "Xenova/t5-small", .old = kT5, .cleans_up = true},
        Vectors{.file = "clip.json",
                .family = "Xenova/clip-vit-base-patch16",
                .folder = "clip",
                .cleans_up = true},
        Vectors{.file = "bert.json",
                .family = "Xenova/bert-base-uncased",
                .old = kBert,
                .cleans_up = true},
        Vectors{.file = "bert.json",
                .family = "Xenova/bert-base-cased",
                .old = kBertCased,
                .cleans_up = true},
        Vectors{.file = "bert.json",
                .family = "google-bert/bert-base-cased",
                .old = kBertCased,
                .cleans_up = true},
        Vectors{.file = "gpt2.json", .family = "Xenova/gpt2", .old = kGpt2, .cleans_up = true},
        Vectors{.file = "gpt2.json",
                .family = "openai-community/gpt2",
                .old = kGpt2Named,
                .cleans_up = true},
        Vectors{.file = "albert.json", .family = "Xenova/albert-base-v2", .missing = kNotAtHand},
        Vectors{.file = "gemma.json", .family = "Xenova/gemma2-tokenizer", .missing = kNotAtHand},
        Vectors{.file = "xlm_roberta.json",
                .family = "Xenova/bge-reranker-base",
                .missing = kNotAtHand},
        Vectors{.file = "whisper.json",
                .family = "onnx-community/whisper-tiny.en",
                .missing = "the multilingual vocabulary is at hand only"}));

// Its vectors share the vocabulary of the tokenizer at hand, but not the merges.
TEST(WhisperVectors, Decode) {
  const fs::path path = shared_data() / "token_vectors" / "whisper.json";
  const auto tokenizer = open_tokenizer("whisper-tiny");
  if (!fs::exists(path) || tokenizer == nullptr) GTEST_SKIP() << "no shared data";
  const auto cases = nlohmann::json::parse(read_text(path)).at("distil-whisper/distil-large-v2");
  ASSERT_FALSE(cases.empty());
  for (const auto& [name, one] : cases.items()) {
    const Ids ids = one["ids"];
    EXPECT_EQ(decode_both_ways(tokenizer, ids, {.clean_up_tokenization_spaces = true}),
              one["decoded"].get<std::string>())
        << name;
  }
}

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
