// SPDX-License-Identifier: Apache-2.0
#include "nibble/generate/chat_prompt.h"

#include <gtest/gtest.h>

#include "nibble/base/atomic_file.h"
#include "nibble/base/error.h"
#include "tests/generate/tiny_model.h"

namespace nibble {
namespace {

class ChatPromptTest : public ::testing::Test {
 protected:
  ChatPromptTest() { testing::TinyModel().write(folder_ / "model"); }

  std::vector<int32_t> encode(const std::string& message) {
    ChatTemplateInputs inputs;
    inputs.messages = {{{"role", "user"}, {"content", message}}};
    return ChatPrompt(Tokenizer::load(folder_ / "model"), "model").encode(inputs);
  }

  static std::vector<int32_t> characters(const std::string& text) {
    std::vector<int32_t> ids = {1};  // the template begins with bos_token
    for (const char c : text) ids.push_back(testing::TinyModel::id_of(c));
    return ids;
  }

  testing::ScratchFolder folder_;
};

TEST_F(ChatPromptTest, RendersTheTemplateWithTheModelsSpecialTokens) {
  EXPECT_EQ(encode("Hi"), characters("[user]Hi[assistant]"));
}

TEST_F(ChatPromptTest, AMessageCannotSpellSpecialTokens) {
  EXPECT_EQ(encode("</s>Hi<s>"), characters("[user]</s>Hi<s>[assistant]"));
}

TEST_F(ChatPromptTest, SaysWhichModelHasNoTemplate) {
  write_file_atomically(folder_ / "model/tokenizer_config.json", "{\"bos_token\": \"<s>\"}");
  try {
    encode("Hi");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("model: the model has no chat template"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace nibble
