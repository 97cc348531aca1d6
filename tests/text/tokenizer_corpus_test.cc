// SPDX-License-Identifier: Apache-2.0
//
// Real tokenizers on a whole text file, line by line, and on 20,000 random Unicode texts, against
// checksums of what the Hugging Face tokenizers library makes of them
// (tests/golden/make_tokenizer_corpus_golden.py, which also shows the texts of a chunk that
// differs). The data is no part of the project; without it the tests are skipped.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "nibble/base/utf8.h"
#include "tests/testing/paths.h"
#include "tests/text/tokenizer_fixture.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using paths::shared_data;

constexpr size_t kChunk = 100;  // texts per checksum
constexpr size_t kRandomTexts = 20000;

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The checksum of zlib.
class Crc32 {
 public:
  Crc32() {
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) * 0xEDB88320u);
      table_[i] = value;
    }
  }

  uint32_t add(std::string_view bytes, uint32_t crc = 0) const {
    crc = ~crc;
    for (char c : bytes) crc = (crc >> 8) ^ table_[(crc ^ static_cast<uint8_t>(c)) & 0xFF];
    return ~crc;
  }

 private:
  std::array<uint32_t, 256> table_;
};

class SplitMix64 {
 public:
  explicit SplitMix64(uint64_t seed) : state_(seed) {}

  uint64_t below(uint64_t limit) {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (z ^ (z >> 31)) % limit;
  }

 private:
  uint64_t state_;
};

// As in the script.
constexpr std::pair<char32_t, char32_t> kRanges[] = {
    {0x61, 0x7A},       {0x20, 0x7E},       {0x00, 0x7F},        {0x20, 0x20},
    {0x09, 0x0D},       {0x30, 0x39},       {0x80, 0x24F},       {0x300, 0x36F},
    {0x370, 0x58F},     {0x590, 0x8FF},     {0x900, 0xDFF},      {0xE00, 0x10FF},
    {0x1100, 0x11FF},   {0x1200, 0x1FFF},   {0x2000, 0x206F},    {0x2070, 0x2BFF},
    {0x2C00, 0x303F},   {0x3040, 0x30FF},   {0x3100, 0x4DFF},    {0x4E00, 0x9FFF},
    {0xA000, 0xABFF},   {0xAC00, 0xD7FF},   {0xE000, 0xFAFF},    {0xFB00, 0xFFFF},
    {0x10000, 0x11FFF}, {0x12000, 0x1CFFF}, {0x1D000, 0x1EFFF},  {0x1F000, 0x1FAFF},
    {0x1FB00, 0x323FF}, {0xE0000, 0xE01FF}, {0x10FF00, 0x10FFFF}};

std::vector<std::string> random_texts(const json& tokenizer) {
  std::vector<std::string> added;
  for (const json& token : tokenizer.at("added_tokens")) added.push_back(token.at("content"));
  if (added.empty()) added.push_back("<|endoftext|>");
  SplitMix64 random(2024);
  std::vector<std::string> out(kRandomTexts);
  for (std::string& text : out) {
    for (uint64_t left = 1 + random.below(12); left > 0; --left) {
      const uint64_t kind = random.below(std::size(kRanges) + 2);
      if (kind >= std::size(kRanges)) {
        text += added[random.below(added.size())];
        continue;
      }
      const auto [first, last] = kRanges[kind];
      for (uint64_t more = 1 + random.below(4); more > 0; --more) {
        append_utf8(text, first + static_cast<char32_t>(random.below(last - first + 1)));
      }
    }
  }
  return out;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  size_t at = 0;
  for (size_t end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    out.push_back(text.substr(at, end + 1 - at));
  }
  out.push_back(text.substr(at) + "\n");
  return out;
}

// The tokenizer.json that the library makes of GPT-2's two files.
json byte_level_json(const std::string& vocabulary, const std::string& merges) {
  json out = plain_tokenizer_json();
  out["model"]["vocab"] = json::parse(vocabulary);
  json& list = out["model"]["merges"] = json::array();
  std::istringstream lines(merges);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("#version")) list.push_back(line);
  }
  out["pre_tokenizer"] =
      out["decoder"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}};
  return out;
}

// And of a vocabulary of BERT.
json bert_json(const std::string& vocabulary, bool lowercase) {
  json out = plain_tokenizer_json();
  json tokens = json::object();
  std::istringstream lines(vocabulary);
  for (std::string line; std::getline(lines, line);) tokens[line] = tokens.size();
  for (const char* special : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}) {
    out["added_tokens"].push_back({{"id", tokens.at(special)},
                                   {"content", special},
                                   {"single_word", false},
                                   {"lstrip", false},
                                   {"rstrip", false},
                                   {"normalized", false},
                                   {"special", true}});
  }
  out["normalizer"] = {{"type", "BertNormalizer"},
                       {"clean_text", true},
                       {"handle_chinese_chars", true},
                       {"strip_accents", nullptr},
                       {"lowercase", lowercase}};
  out["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
  out["post_processor"] = {{"type", "BertProcessing"},
                           {"sep", {"[SEP]", tokens.at("[SEP]")}},
                           {"cls", {"[CLS]", tokens.at("[CLS]")}}};
  out["decoder"] = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  out["model"] = {{"type", "WordPiece"},
                  {"vocab", tokens},
                  {"unk_token", "[UNK]"},
                  {"continuing_subword_prefix", "##"},
                  {"max_input_chars_per_word", 100}};
  return out;
}

struct Subject {
  const char* name;
  std::vector<std::string> files;  // in tokenizers_hf/
};

json make_json(const std::vector<std::string>& texts, const std::string& name) {
  if (texts.size() == 2) return byte_level_json(texts[0], texts[1]);
  if (name.starts_with("bert")) return bert_json(texts[0], name == "bert-uncased");
  return json::parse(texts[0]);
}

json golden() { return json::parse(read_text(paths::golden("tokenizer_corpus.json"))); }

class TokenizerCorpus : public ::testing::TestWithParam<Subject> {
 protected:
  void SetUp() override {
    std::vector<std::string> texts;
    uint32_t crc = 0;
    for (const std::string& file : GetParam().files) {
      const fs::path path = shared_data() / "tokenizers_hf" / file;
      if (!fs::exists(path)) GTEST_SKIP() << "no shared data";
      texts.push_back(read_text(path));
      crc = crc_.add(texts.back(), crc);
    }
    expected_ = golden().at("tokenizers").at(GetParam().name);
    ASSERT_EQ(crc, expected_.at("crc32").get<uint32_t>())
        << "another file than the checksums were made with";
    spec_ = make_json(texts, GetParam().name);
    tokenizer_ = Tokenizer::from_json(spec_.dump(), GetParam().name);
  }

  // Ends at the first chunk that differs.
  void compare(const std::vector<std::string>& texts, const char* corpus) {
    const json& sums = expected_.at(corpus);
    ASSERT_EQ(sums.at("ids").get<std::string>().size(), (texts.size() + kChunk - 1) / kChunk * 8);
    for (size_t chunk = 0; chunk * kChunk < texts.size(); ++chunk) {
      uint32_t ids_crc = 0, text_crc = 0, plain_crc = 0;
      for (size_t i = chunk * kChunk; i < std::min(texts.size(), (chunk + 1) * kChunk); ++i) {
        const Ids ids = tokenizer_->encode(texts[i]);
        for (int32_t id : ids) ids_crc = add_number(static_cast<uint32_t>(id), ids_crc);
        ids_crc = add_number(UINT32_MAX, ids_crc);
        text_crc = add_text(tokenizer_->decode(ids), text_crc);
        plain_crc = add_text(tokenizer_->decode(ids, {.skip_special_tokens = true}), plain_crc);
      }
      const auto sum = [&](const char* key) {
        return std::stoul(sums.at(key).get<std::string>().substr(chunk * 8, 8), nullptr, 16);
      };
      const std::string where = fmt::format("; see make_tokenizer_corpus_golden.py --show {} {} {}",
                                            GetParam().name, corpus, chunk);
      ASSERT_EQ(ids_crc, sum("ids")) << "other ids" << where;
      ASSERT_EQ(text_crc, sum("text")) << "decodes to another text" << where;
      ASSERT_EQ(plain_crc, sum("plain_text")) << "another text without special tokens" << where;
    }
  }

  uint32_t add_number(uint32_t number, uint32_t crc) const {
    char bytes[4];
    for (int i = 0; i < 4; ++i) bytes[i] = static_cast<char>(number >> (8 * i));
    return crc_.add({bytes, 4}, crc);
  }

  uint32_t add_text(std::string text, uint32_t crc) const {
    text += '\0';
    return crc_.add(text, crc);
  }

  Crc32 crc_;
  json expected_, spec_;
  std::shared_ptr<const Tokenizer> tokenizer_;
};

TEST_P(TokenizerCorpus, EveryLineOfATextFile) {
  const fs::path path = shared_data() / "wikitext2_raw" / "wiki.test.raw";
  if (!fs::exists(path)) GTEST_SKIP() << "no shared data";
  const std::string text = read_text(path);
  ASSERT_EQ(crc_.add(text), golden().at("wiki_crc32").get<uint32_t>());
  compare(lines_of(text), "wiki");
}

TEST_P(TokenizerCorpus, RandomUnicode) { compare(random_texts(spec_), "random"); }

INSTANTIATE_TEST_SUITE_P(
    All, TokenizerCorpus,
    ::testing::Values(Subject{"clip", {"clip/tokenizer.json"}},
                      Subject{"llama2", {"llama2/tokenizer.json"}},
                      Subject{"llama3", {"llama3/tokenizer.json"}},
                      Subject{"qwen3", {"qwen3/tokenizer.json"}},
                      Subject{"t5-small", {"t5-small/tokenizer.json"}},
                      Subject{"whisper-tiny", {"whisper-tiny/tokenizer.json"}},
                      Subject{"gpt2", {"gpt2/gpt2.vocab", "gpt2/gpt2.merges.txt"}},
                      Subject{"bert-cased", {"bert/bert_base_cased_vocab.txt"}},
                      Subject{"bert-uncased", {"bert/bert_base_uncased_vocab.txt"}}),
    [](const auto& subject) {
      std::string name = subject.param.name;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

}  // namespace
}  // namespace nibble
