// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/tokenizer_config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/testing/scratch_folder.h"
#include "tests/text/tokenizer_fixture.h"

namespace nibble {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

// A folder that goes away with the test.
class Folder {
 public:
  void write(const std::string& file, const std::string& text) {
    fs::create_directories((folder_ / file).parent_path());
    std::ofstream(folder_ / file, std::ios::binary) << text;
  }
  const fs::path& path() const { return folder_.path(); }

 private:
  testing::ScratchFolder folder_;
};

TEST(TokenizerConfig, NamesSpecialTokens) {
  const auto tokenizer =
      build(plain_tokenizer_json(),
            {{"bos_token", "<s>"}, {"eos_token", {{"content", "</s>"}}}, {"pad_token", nullptr}});
  EXPECT_EQ(tokenizer->bos_token_id(), 6);
  EXPECT_EQ(tokenizer->eos_token(), "</s>");
  EXPECT_EQ(tokenizer->pad_token_id(), std::nullopt);
  EXPECT_EQ(tokenizer->pad_token(), "");
  // A named special token is found in the text though tokenizer.json does not list it.
  EXPECT_EQ(tokenizer->encode("a<s>"), (Ids{0, 6}));
  EXPECT_TRUE(tokenizer->is_special(7));
}

TEST(TokenizerConfig, AddBosAndAddEosDecideAlone) {
  json file = plain_tokenizer_json();
  file["post_processor"] = {{"type", "BertProcessing"}, {"cls", {"<s>", 6}}, {"sep", {"</s>", 7}}};
  json config = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  EXPECT_EQ(build(file, config)->encode("a"), (Ids{6, 0, 7}));
  config["add_bos_token"] = true;
  EXPECT_EQ(build(file, config)->encode("a"), (Ids{6, 0}));
  config["add_eos_token"] = true;
  EXPECT_EQ(build(file, config)->encode("a"), (Ids{6, 0, 7}));
  config["add_bos_token"] = config["add_eos_token"] = false;
  EXPECT_EQ(build(file, config)->encode("a"), (Ids{0}));
}

TEST(TokenizerConfig, AddedTokensDecoderAddsWhatIsMissing) {
  const auto tokenizer =
      build(plain_tokenizer_json(),
            {{"added_tokens_decoder", {{"8", {{"content", "<x>"}, {"special", true}}}}},
             {"additional_special_tokens", {"<y>"}}});
  EXPECT_EQ(tokenizer->encode("a<x><y>"), (Ids{0, 8, 9}));
}

TEST(TokenizerConfig, LlamaTokenizerMarksTheStartOfTheText) {
  json file = plain_tokenizer_json();
  file["normalizer"] = {{"type", "Prepend"}, {"prepend", "\u2581"}};
  file["model"]["byte_fallback"] = true;
  file["model"]["vocab"]["\u2581"] = 8;
  json config = {{"tokenizer_class", "LlamaTokenizerFast"}};
  EXPECT_EQ(build(file, config)->encode("a<s>b"), (Ids{8, 0, 6, 1}));
  EXPECT_EQ(build(file, config)->bos_token(), "<s>");
  EXPECT_EQ(decode_both_ways(build(file, config), {8, 0, 8, 1}), "a b");
  config["legacy"] = true;
  EXPECT_EQ(build(file, config)->encode("a<s>b"), (Ids{8, 0, 6, 8, 1}));
  config["add_prefix_space"] = false;
  EXPECT_EQ(build(file, config)->encode("a b"), (Ids{0, 8, 1}));
  // A byte-level file of this class is taken as it is.
  file["decoder"] = {{"type", "ByteLevel"}};
  EXPECT_EQ(build(file, config)->encode("a"), (Ids{8, 0}));
}

// As transformers' special_tokens_map has it.
TEST(TokenizerConfig, TokensOfAModelsOwnHaveNames) {
  const auto tokenizer =
      build(plain_tokenizer_json(),
            {{"bos_token", "<s>"},
             {"sep_token", "a"},
             {"image_token", "<image>"},
             {"audio_token", {{"__type", "AddedToken"}, {"content", "<audio>"}}},
             {"video_token", {{"content", "<video>"}}},  // some other object
             {"add_bos_token", false},
             {"extra_special_tokens", {{"eoc", "<eoc>"}, {"image_token", "<picture>"}}}});
  EXPECT_EQ(tokenizer->special_tokens(),
            (std::map<std::string, std::string>{{"bos_token", "<s>"},
                                                {"sep_token", "a"},
                                                {"audio_token", "<audio>"},
                                                {"eoc", "<eoc>"},
                                                {"image_token", "<picture>"}}));
  EXPECT_EQ(
      build(plain_tokenizer_json(), {{"additional_special_tokens", {"<y>"}}})->special_tokens(),
      (std::map<std::string, std::string>{}));
}

TEST(TokenizerConfig, ChatTemplates) {
  const auto one = build(plain_tokenizer_json(), {{"chat_template", "hello"}});
  EXPECT_EQ(one->chat_template(), "hello");
  EXPECT_EQ(one->chat_template("rag"), std::nullopt);
  const auto named = build(
      plain_tokenizer_json(),
      {{"chat_template",
        {{{"name", "default"}, {"template", "d"}}, {{"name", "tool_use"}, {"template", "t"}}}}});
  EXPECT_EQ(named->chat_template("tool_use"), "t");
  EXPECT_EQ(build(plain_tokenizer_json())->chat_template(), std::nullopt);
}

TEST(TokenizerConfig, LoadReadsAFolder) {
  Folder folder;
  folder.write("tokenizer.json", plain_tokenizer_json().dump());
  folder.write("tokenizer_config.json", R"({"chat_template": "old", "bos_token": "<s>"})");
  folder.write("special_tokens_map.json", R"({"bos_token": "a", "pad_token": "c"})");
  folder.write("generation_config.json", R"({"eos_token_id": [7, 6], "bos_token_id": 0})");
  folder.write("chat_template.jinja", "new");
  folder.write("additional_chat_templates/rag.jinja", "docs");
  const auto tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer->bos_token_id(), 6);  // tokenizer_config.json goes before the others
  EXPECT_EQ(tokenizer->pad_token_id(), 2);
  EXPECT_EQ(tokenizer->eos_token_id(), 7);
  EXPECT_EQ(tokenizer->chat_template(), "new");
  EXPECT_EQ(tokenizer->chat_template("rag"), "docs");
}

TEST(TokenizerConfig, LoadSaysWhatIsMissingOrBroken) {
  Folder folder;
  EXPECT_THROW(Tokenizer::load(folder.path()), Error);
  folder.write("tokenizer.json", plain_tokenizer_json().dump());
  folder.write("tokenizer_config.json", "{");
  EXPECT_THROW(Tokenizer::load(folder.path()), Error);
  const std::string file = plain_tokenizer_json().dump();
  for (const char* config :
       {"[]", R"({"add_bos_token": 1})", R"({"bos_token": 3})", R"({"chat_template": 3})",
        R"({"chat_template": [{"name": "x"}]})", R"({"added_tokens_decoder": []})",
        R"({"added_tokens_decoder": {"x": {"content": "y"}}})",
        R"({"added_tokens_decoder": {"1": {}}})", R"({"additional_special_tokens": 3})"}) {
    EXPECT_TRUE(build_error(file, config).starts_with("test.json: ")) << config;
  }
}

}  // namespace
}  // namespace nibble
