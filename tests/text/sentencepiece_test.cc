// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/sentencepiece_model.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "tests/testing/scratch_folder.h"
#include "tests/text/tokenizer_fixture.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

// Protobuf by hand: just enough to write a model.
std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7F) | 0x80);
  return out + static_cast<char>(value);
}
std::string number(int field, uint64_t value) {
  return varint(static_cast<uint64_t>(field) << 3) + varint(value);
}
std::string bytes(int field, const std::string& value) {
  return varint((static_cast<uint64_t>(field) << 3) | 2) + varint(value.size()) + value;
}
std::string real(int field, float value) {
  std::string out = varint((static_cast<uint64_t>(field) << 3) | 5) + std::string(4, '\0');
  std::memcpy(out.data() + out.size() - 4, &value, 4);
  return out;
}
std::string piece(const std::string& text, float score, int type = 1) {
  return bytes(1, bytes(1, text) + real(2, score) + number(3, static_cast<uint64_t>(type)));
}

// <unk> <s> </s> first, as trainers have it.
std::string model(int algorithm) {
  return piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece("\u2581a", -1) +
         piece("b", -2) + piece("\u2581ab", -2.5) + piece("\u2581", -3) + piece("a", -4) +
         piece("<x>", 0, 4) +
         bytes(2, number(3, static_cast<uint64_t>(algorithm)) + number(40, 0)) + number(77, 5);
}

std::shared_ptr<const Tokenizer> load(const std::string& model_file, const nlohmann::json& config) {
  const testing::ScratchFolder scratch;
  const fs::path& folder = scratch.path();
  std::ofstream(folder / "tokenizer.model", std::ios::binary) << model_file;
  std::ofstream(folder / "tokenizer_config.json") << config.dump();
  return Tokenizer::load(folder);
}

TEST(SentencePiece, UnigramOfAnUnknownClassIsReadAsItIs) {
  const auto tokenizer = load(model(1), nlohmann::json::object());
  EXPECT_EQ(tokenizer->encode(" ab <x> a"), (Ids{5, 6, 8, 3}));
  EXPECT_EQ(tokenizer->encode("zz"), Ids{0});
  EXPECT_EQ(tokenizer->bos_token_id(), 1);
  EXPECT_TRUE(tokenizer->is_special(1));
  EXPECT_FALSE(tokenizer->is_special(8));
}

TEST(SentencePiece, XlmRobertaMovesTheIds) {
  const auto tokenizer = load(model(1), {{"tokenizer_class", "XLMRobertaTokenizer"}});
  EXPECT_EQ(tokenizer->encode("ab z"), (Ids{0, 6, 7, 3, 2}));
  EXPECT_EQ(tokenizer->token_to_id("<pad>"), 1);
  EXPECT_EQ(tokenizer->token_to_id("<mask>"), 10);
  const Encoding pair = tokenizer->encode_input({.text = "a", .pair = "b"});
  EXPECT_EQ(pair.ids, (Ids{0, 4, 2, 2, 7, 5, 2}));
}

TEST(SentencePiece, T5AddsItsSentinels) {
  const auto tokenizer = load(model(1), {{"tokenizer_class", "T5Tokenizer"}});
  EXPECT_EQ(tokenizer->token_to_id("<extra_id_99>"), 9);
  EXPECT_EQ(tokenizer->token_to_id("<extra_id_0>"), 108);
  EXPECT_EQ(tokenizer->encode("a<extra_id_0>b"), (Ids{3, 108, 6, 4, 2}));
}

TEST(SentencePiece, LlamaMergesByTheRankOfWhatTheyMake) {
  const auto tokenizer = load(model(2), {{"tokenizer_class", "LlamaTokenizer"}});
  EXPECT_EQ(tokenizer->encode("ab a"), (Ids{5, 3}));
  EXPECT_EQ(tokenizer->decode(Ids{5, 3}), "ab a");
}

std::string parse_error(const std::string& file) {
  try {
    parse_sentencepiece_model(file, "x.model");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(SentencePiece, BrokenFilesAreRefusedWithThePlace) {
  const auto fails = [](const std::string& file, const std::string& what) {
    EXPECT_NE(parse_error(file).find(what), std::string::npos) << parse_error(file);
    EXPECT_TRUE(parse_error(file).starts_with("x.model: ")) << parse_error(file);
  };
  fails("", "no pieces");
  fails("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x0F", "a field that ends behind its message");
  fails(std::string(11, '\xFF'), "a number that does not end");
  fails("\x0A", "a number that does not end");
  fails(std::string("\x00\x00", 2), "a field without a number");
  fails("\x0B", "a field of an unknown kind");
  fails(number(1, 3), "a number where a message should be");
  fails(bytes(1, number(1, 3)), "a number where a text should be");
  fails(bytes(1, bytes(1, "\xFF")), "a text that is no UTF-8");
  fails(bytes(1, real(3, 1)), "no number where one should be");
  fails(bytes(1, number(3, 9)), "a piece of an unknown type");
  fails(piece("a", std::numeric_limits<float>::infinity()), "a score that is no finite number");
  fails(bytes(2, number(3, 9)), "an unknown model_type");
}

// A hundred bytes that claim 2^60 (huge_claims_test.cc: without the memory for it).
TEST(SentencePiece, HugeClaimsAreRefusedInOneLine) {
  const std::string huge = varint(uint64_t{1} << 60);
  const auto hundred = [](std::string start) { return start.append(100 - start.size(), 'x'); };
  EXPECT_EQ(
      parse_error(hundred("\x0A" + huge)),
      "x.model: the SentencePiece model has a field that ends behind its message (at byte 10)");
  EXPECT_EQ(
      parse_error(hundred(piece("a", 0) + "\x1A\x20\x12" + huge)),
      "x.model: the SentencePiece model has a field that ends behind its message (at byte 24)");
  // Ids that no piece has are not looked up: the model names no such token.
  EXPECT_EQ(parse_error(piece("a", 0) + bytes(2, number(41, uint64_t{1} << 60))), "");
}

TEST(SentencePiece, EveryTruncationOfAModelIsReadOrRefused) {
  const std::string whole = model(1);
  for (size_t size = 0; size < whole.size(); ++size) {
    try {
      EXPECT_FALSE(parse_sentencepiece_model(whole.substr(0, size), "x").pieces.empty());
    } catch (const Error&) {
    }
  }
}

TEST(SentencePiece, ClassesWithRulesOfTheirOwnAreRefused) {
  for (const char* name : {"NllbTokenizer", "MBart50TokenizerFast"}) {
    try {
      load(model(1), {{"tokenizer_class", name}});
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find("tokenizer.model: the tokenizer class takes a SentencePiece model in "
                             "its own way, which is not supported: expected tokenizer.json, or a "
                             "class such as LlamaTokenizer, got "),
                std::string::npos)
          << message;
    }
  }
}

TEST(SentencePiece, OtherKindsOfModelsAreRefused) {
  EXPECT_THROW(load(model(3), nlohmann::json::object()), Error);
}

}  // namespace
}  // namespace nibble
