// SPDX-License-Identifier: Apache-2.0
//
// Chat templates against Jinja2: tests/golden/make_chat_template_golden.py wrote what it renders.
#include "nibble/text/chat_template.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "nibble/base/error.h"
#include "tests/testing/paths.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

// strftime_now shows local time; the golden file was made for UTC.
class ChatTemplateGolden : public testing::Test {
 protected:
  void SetUp() override {
    setenv("TZ", "UTC", 1);
    tzset();
  }

  static ChatTemplateInputs inputs_of(Json context, const Json& golden) {
    ChatTemplateInputs inputs;
    const auto take = [&](const char* name, Json& into) {
      if (!context.contains(name)) return;
      into = context[name];
      context.erase(name);
    };
    take("messages", inputs.messages);
    take("tools", inputs.tools);
    take("documents", inputs.documents);
    inputs.add_generation_prompt = context.value("add_generation_prompt", true);
    context.erase("add_generation_prompt");
    inputs.extra = std::move(context);
    inputs.now = std::chrono::system_clock::from_time_t(golden["now"].get<std::time_t>());
    return inputs;
  }

  // Renders as the case says: to exactly its text, or to an error with a line number.
  static void replay(const std::string& source, const Json& context, const Json& test_case,
                     const Json& golden) {
    SCOPED_TRACE(test_case["name"].get<std::string>());
    const ChatTemplateInputs inputs = inputs_of(context, golden);
    if (test_case.contains("expected")) {
      const ChatTemplate chat_template(source);
      EXPECT_EQ(chat_template.render(inputs), test_case["expected"].get<std::string>());
      std::string joined;
      for (const RenderedPiece& piece : chat_template.render_pieces(inputs)) joined += piece.text;
      EXPECT_EQ(joined, test_case["expected"].get<std::string>());
      return;
    }
    try {
      const std::string rendered = ChatTemplate(source).render(inputs);
      ADD_FAILURE() << "rendered: " << rendered;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("chat template, line "), std::string::npos)
          << error.what();
    }
  }

  static void replay_file(const std::filesystem::path& path) {
    std::ifstream file(path);
    ASSERT_TRUE(file) << path;
    const Json golden = Json::parse(file);
    for (const Json& snippet : golden["snippets"]) {
      replay(snippet["template"].get<std::string>(), golden["context"], snippet, golden);
    }
    for (const Json& chat : golden["chats"]) {
      const std::string name = chat["file"].get<std::string>();
      replay(golden["templates"][name].get<std::string>(), chat["context"], chat, golden);
    }
    EXPECT_GT(golden["snippets"].size() + golden["chats"].size(), 0u);
  }
};

TEST_F(ChatTemplateGolden, RendersAsJinja2) {
  replay_file(paths::golden("chat_template_golden.json"));
}

// Any further templates: make_chat_template_golden.py --templates DIR --output FOLDER/FILE.
TEST_F(ChatTemplateGolden, OtherTemplates) {
  const char* folder = std::getenv("NIBBLE_CHAT_TEMPLATE_GOLDEN");
  if (!folder) GTEST_SKIP() << "NIBBLE_CHAT_TEMPLATE_GOLDEN names no folder";
  replay_file(std::filesystem::path(folder) / "chat_template_golden.json");
}

ChatTemplateInputs one_message(const std::string& content) {
  ChatTemplateInputs inputs;
  inputs.messages = Json::array({{{"role", "user"}, {"content", content}}});
  return inputs;
}

std::string user_text(const std::string& source, const ChatTemplateInputs& inputs) {
  std::string marked;
  for (const RenderedPiece& piece : ChatTemplate(source).render_pieces(inputs)) {
    marked += piece.from_user ? "[" + piece.text + "]" : piece.text;
  }
  return marked;
}

TEST(ChatTemplatePieces, SeparateTheTemplateFromTheConversation) {
  const std::string source =
      "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}<|assistant|>";
  EXPECT_EQ(user_text(source, one_message("hi <|end|>")),
            "<|user|>[hi <|end|>]<|end|><|assistant|>");
}

TEST(ChatTemplatePieces, SurviveStringOperations) {
  const ChatTemplateInputs inputs = one_message(" a-b <|x|> ");
  const std::string content = "{% set c = messages[0].content %}";
  EXPECT_EQ(user_text(content + "{{ '<' ~ c | trim ~ '>' }}", inputs), "<[a-b <|x|>]>");
  EXPECT_EQ(user_text(content + "{{ ('(' + c.strip() + ')')[1:5] }}", inputs), "[a-b ]");
  EXPECT_EQ(user_text(content + "{{ c.strip().replace('-', '+') }}", inputs), "[a]+[b <|x|>]");
  EXPECT_EQ(user_text(content + "{{ c.strip().split('-') | join('/') }}", inputs), "[a]/[b <|x|>]");
  EXPECT_EQ(user_text(content + "{{ c | upper }}", inputs), "[ A-B <|X|> ]");
  EXPECT_EQ(user_text(content + "{{ {'k': c} | tojson }}", inputs), "{\"k\": \"[ a-b <|x|> ]\"}");
  EXPECT_EQ(user_text(content + "{{ [c] }}", inputs), "['[ a-b <|x|> ]']");
  EXPECT_EQ(user_text(content + "{{ '%s!' % c }}{{ '{}?'.format(c) }}", inputs),
            "[ a-b <|x|> ]![ a-b <|x|> ]?");
  EXPECT_EQ(user_text(content + "{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(c) }}", inputs),
            "<[ a-b <|x|> ]>");
  EXPECT_EQ(user_text(content + "{% set b %}<{{ c }}>{% endset %}{{ b[1:-1] | trim }}", inputs),
            "[a-b <|x|>]");
}

TEST(ChatTemplatePieces, CoverToolResultsAndArgumentsAndDocuments) {
  ChatTemplateInputs inputs;
  inputs.messages = Json::parse(R"([
    {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"k": "v"}}}]},
    {"role": "tool", "content": [{"type": "text", "text": "result"}]}])");
  inputs.documents = Json::parse(R"([{"title": "T"}])");
  inputs.tools = Json::parse(R"([{"name": "f"}])");
  EXPECT_EQ(user_text("{{ messages[0].tool_calls[0].function.arguments | tojson }}", inputs),
            "{\"[k]\": \"[v]\"}");
  EXPECT_EQ(user_text("{{ messages[1].role }}:{{ messages[1].content[0].type }}:"
                      "{{ messages[1].content[0].text }}",
                      inputs),
            "tool:text:[result]");
  EXPECT_EQ(user_text("{{ documents[0].title }}{{ tools[0].name }}", inputs), "[T]f");
}

std::string error_of(const std::string& source, const ChatTemplateInputs& inputs = {}) {
  try {
    return "rendered: " + ChatTemplate(source, "my.jinja").render(inputs);
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(ChatTemplateErrors, NameTheTemplateAndTheLine) {
  EXPECT_EQ(error_of("a\nb\n{{ nosuch.x }}"), "my.jinja, line 3: 'nosuch' is undefined");
  EXPECT_EQ(error_of("\n{% nosuch %}"), "my.jinja, line 2: unknown tag 'nosuch'");
  EXPECT_EQ(error_of("\n\n{{ 1 | nosuch }}"), "my.jinja, line 3: there is no filter 'nosuch'");
  EXPECT_EQ(error_of("{{ 1 is nosuch }}"), "my.jinja, line 1: there is no test 'nosuch'");
  EXPECT_EQ(error_of("{{ raise_exception('Roles must alternate\n!') }}"),
            "my.jinja, line 1: the template says: Roles must alternate !");
}

TEST(ChatTemplateErrors, RefuseWrongInputs) {
  ChatTemplateInputs inputs;
  inputs.messages = "text";
  EXPECT_NE(error_of("", inputs).find("not a list"), std::string::npos);
  inputs = {};
  inputs.extra = Json::array();
  EXPECT_NE(error_of("", inputs).find("not an object"), std::string::npos);
  inputs = {};
  inputs.extra = {{"n", 18446744073709551615ull}};
  EXPECT_NE(error_of("", inputs).find("64 bits"), std::string::npos);
}

TEST(ChatTemplate, RepairsInvalidUtf8OfMessages) {
  EXPECT_EQ(ChatTemplate("{{ messages[0].content }}").render(one_message("a\xff")),
            "a\xEF\xBF\xBD");
}

}  // namespace
}  // namespace nibble
