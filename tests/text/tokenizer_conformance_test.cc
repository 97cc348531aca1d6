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
#include "tests/testing/scratch_folder.h"
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

// The same file as other converters wrote it: a Metaspace of this scheme in place of all that cuts
// the text; the later one, which marks the start of the text alone, also makes one space of many.
std::shared_ptr<const Tokenizer> open_with_metaspace(const std::string& name, const char* scheme) {
  const fs::path path = shared_data() / "tokenizers_hf" / name / "tokenizer.json";
  if (!fs::exists(path)) return nullptr;
  auto file = nlohmann::json::parse(read_text(path));
  file["pre_tokenizer"] = {{"type", "Metaspace"},
                           {"replacement", "\u2581"},
                           {"prepend_scheme", scheme},
                           {"split", true}};
  if (std::string_view(scheme) == "first") {
    const nlohmann::json spaces = {
        {"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", "\u2581"}};
    file["normalizer"] = {{"type", "Sequence"}, {"normalizers", {file["normalizer"], spaces}}};
  }
  return build(file);
}

// A folder of an older tokenizer, made of files under other names.
struct OldFolder {
  std::vector<std::pair<const char*, const char*>> files;  // from, to
  nlohmann::json config;
};

std::shared_ptr<const Tokenizer> open_old_folder(const OldFolder& old) {
  const testing::ScratchFolder scratch;
  const fs::path& folder = scratch.path();
  for (const auto& [from, to] : old.files) {
    const fs::path path = shared_data() / "tokenizers_hf" / from;
    if (!fs::exists(path)) return nullptr;
    std::ofstream(folder / to, std::ios::binary) << read_text(path);
  }
  std::ofstream(folder / "tokenizer_config.json") << old.config.dump();
  return Tokenizer::load(folder);
}

struct Vectors {
  const char* file;
  const char* family;
  const char* tokenizer = nullptr;  // of tokenizers_hf, by its tokenizer.json alone
  const char* folder = nullptr;     // the same as a folder, as AutoTokenizer opens it
  OldFolder old = {};
  bool cleans_up = false;        // transformers.js cleaned up the decoded text
  const char* lost = nullptr;    // a character that the file at hand has lost from its vocabulary
  const char* scheme = nullptr;  // of the Metaspace that its tokenizer.json has alone
};

void PrintTo(const Vectors& vectors, std::ostream* out) { *out << vectors.family; }

class TransformersJsVectors : public ::testing::TestWithParam<Vectors> {};

TEST_P(TransformersJsVectors, EncodesAndDecodes) {
  const Vectors& vectors = GetParam();
  const fs::path path = shared_data() / "token_vectors" / vectors.file;
  if (!fs::exists(path)) GTEST_SKIP() << "no shared data";
  const auto tokenizer = vectors.scheme != nullptr
                             ? open_with_metaspace(vectors.tokenizer, vectors.scheme)
                         : vectors.tokenizer != nullptr ? open_tokenizer(vectors.tokenizer)
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
// Cased words under a configuration that does not say so, which lowers them.
const OldFolder kBertLowered = {{{"bert/bert_base_cased_vocab.txt", "vocab.txt"}},
                                {{"tokenizer_class", "BertTokenizer"}, {"do_lower_case", true}}};
const OldFolder kLlama3 = {{{"llama3/tokenizer.json", "tokenizer.json"}},
                           {{"add_bos_token", true}, {"bos_token", "<|begin_of_text|>"}}};
// OWL-ViT pads with "!", which is therefore a word of its own.
const OldFolder kOwlVit = {{{"clip/tokenizer.json", "tokenizer.json"}},
                           {{"tokenizer_class", "CLIPTokenizer"}, {"pad_token", "!"}}};

INSTANTIATE_TEST_SUITE_P(
    All, TransformersJsVectors,
    ::testing::Values(
        Vectors{.file = "llama.json",
                .family = "Xenova/llama-tokenizer",
                .tokenizer = "llama2",
                .lost = "\xC2\xA0"},  // written as a plain space there
        Vectors{.file = "llama.json",
                .family = "Xenova/llama3-tokenizer",
                .tokenizer = "llama3",
                .cleans_up = true},
        Vectors{.file = "llama.json",
                .family = "Xenova/llama3-tokenizer-new",
                .old = kLlama3,
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
        Vectors{.file = "t5.json",
                .family = "Xenova/t5-tokenizer-new",
                .tokenizer = "t5-small",
                .cleans_up = true,
                .scheme = "first"},
        Vectors{.file = "t5.json",
                .family = "Xenova/LaMini-Flan-T5-783M",
                .tokenizer = "t5-small",
                .cleans_up = true,
                .scheme = "always"},
        Vectors{.file = "clip.json",
                .family = "Xenova/owlvit-base-patch32",
                .old = kOwlVit,
                .cleans_up = true},
        Vectors{.file = "bert.json",
                .family = "Xenova/spanbert-large-cased",
                .old = kBertLowered,
                .cleans_up = true},
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
                .cleans_up = true}));

// Not tried, since their vocabularies are not at hand:
//  - albert, gemma, xlm_roberta: all families
//  - bert: multilingual, Chinese, Korean, Russian, Polish and Indonesian ones, kobert, LaBSE,
//    scibert, SapBERT, UMLSBert, multilingual-e5, paraphrase-multilingual, language_detection
//  - gpt2: gpt-4, gpt-4o, claude, santacoder, CodeGPT, codeparrot
//  - llama: TinyLLama-v0 (32000 pieces of its own), deepseek-coder, tamillama
//  - whisper: whisper-tiny.en and distil-small.en (English only), distil-large-v3 (one language
//    more, so that ids of special tokens differ)

// These share the vocabulary of the tokenizer at hand, but not the merges.
class WhisperVectors : public ::testing::TestWithParam<const char*> {};

TEST_P(WhisperVectors, Decode) {
  const fs::path path = shared_data() / "token_vectors" / "whisper.json";
  const auto tokenizer = open_tokenizer("whisper-tiny");
  if (!fs::exists(path) || tokenizer == nullptr) GTEST_SKIP() << "no shared data";
  const auto cases = nlohmann::json::parse(read_text(path)).at(GetParam());
  ASSERT_FALSE(cases.empty());
  for (const auto& [name, one] : cases.items()) {
    const Ids ids = one["ids"];
    EXPECT_EQ(decode_both_ways(tokenizer, ids, {.clean_up_tokenization_spaces = true}),
              one["decoded"].get<std::string>())
        << name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, WhisperVectors,
                         ::testing::Values("distil-whisper/distil-large-v2",
                                           "Xenova/nb-whisper-tiny-beta"));

struct GgmlVocabulary {
  const char* vectors;
  const char* tokenizer = nullptr;
  OldFolder old = {};
};

void PrintTo(const GgmlVocabulary& vocabulary, std::ostream* out) { *out << vocabulary.vectors; }

class GgmlVectors : public ::testing::TestWithParam<GgmlVocabulary> {};

TEST_P(GgmlVectors, Encodes) {
  const auto& [vectors, name, old] = GetParam();
  const fs::path base = shared_data() / "token_vectors" / (std::string("ggml-vocab-") + vectors);
  const auto tokenizer = name != nullptr ? open_tokenizer(name) : open_old_folder(old);
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
                         ::testing::Values(GgmlVocabulary{"llama-bpe", "llama3"},
                                           GgmlVocabulary{"llama-spm", "llama2"},
                                           GgmlVocabulary{"qwen2", "qwen3"},
                                           GgmlVocabulary{.vectors = "bert-bge", .old = kBert},
                                           GgmlVocabulary{.vectors = "gpt-2", .old = kGpt2}));

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
