// SPDX-License-Identifier: Apache-2.0
//
// Chat templates against Jinja2: tests/golden/make_chat_template_golden.py wrote what it renders.
#include "nibble/text/chat_template.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "nibble/base/error.h"
#include "tests/testing/paths.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

namespace fs = std::filesystem;

uint64_t fnv1a(std::string_view bytes) {
  uint64_t value = 0xCBF29CE484222325;
  for (const char c : bytes) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return value;
}

std::string hex(uint64_t value) { return fmt::format("{:016x}", value); }

// strftime_now shows local time; the golden files were made for UTC.
class ChatTemplateGolden : public ::testing::Test {
 protected:
  void SetUp() override {
    setenv("TZ", "UTC", 1);
    tzset();
  }

  static Json read(const fs::path& path) {
    std::ifstream file(path);
    EXPECT_TRUE(file) << path;
    return Json::parse(file);
  }

  // What transformers' apply_chat_template() is given, as nibble takes it.
  static ChatTemplateInputs inputs_of(const Json& golden, const Json& test_case) {
    ChatTemplateInputs inputs;
    inputs.messages = golden["chats"][test_case["chat"].get<std::string>()];
    inputs.special_tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}};
    inputs.now = std::chrono::system_clock::from_time_t(golden["now"].get<std::time_t>());
    inputs.add_generation_prompt = false;
    inputs.extra = Json::object();
    for (const auto& [name, value] : test_case["options"].items()) {
      if (name == "tools") {
        inputs.tools = value;
      } else if (name == "documents") {
        inputs.documents = value;
      } else if (name == "add_generation_prompt") {
        inputs.add_generation_prompt = value.get<bool>();
      } else if (name == "continue_final_message") {
        inputs.continue_final_message = value.is_string() ? value.get<std::string>() : "content";
      } else {
        inputs.extra[name] = value;
      }
    }
    return inputs;
  }

  // Renders as the file says: to exactly this text, or to an error, with the reference's message
  // where the file has one.
  static void check(const std::string& source, const ChatTemplateInputs& inputs,
                    const Json& result) {
    std::string rendered;
    try {
      const ChatTemplate chat_template(source);
      rendered = chat_template.render(inputs);
      std::string joined;
      for (const RenderedPiece& piece : chat_template.render_pieces(inputs)) joined += piece.text;
      EXPECT_EQ(joined, rendered);
    } catch (const Error& error) {
      if (!result.is_object()) {
        ADD_FAILURE() << error.what() << "\nexpected: " << result;
      } else if (result.contains("message")) {
        std::string message = result["message"].get<std::string>();
        for (char& c : message) c = c == '\n' ? ' ' : c;
        EXPECT_NE(std::string(error.what()).find(message), std::string::npos)
            << error.what() << "\nexpected: " << message;
      }
      return;
    }
    if (result.is_object()) {
      ADD_FAILURE() << "rendered: " << rendered << "\nexpected: " << result;
    } else {
      EXPECT_EQ(rendered, result.get<std::string>());
    }
  }

  static void check_snippets(const Json& golden) {
    ChatTemplateInputs inputs;
    inputs.extra = golden["context"];
    inputs.now = std::chrono::system_clock::from_time_t(golden["now"].get<std::time_t>());
    for (const Json& snippet : golden["snippets"]) {
      const auto source = snippet["template"].get<std::string>();
      SCOPED_TRACE(source);
      check(source, inputs, snippet["result"]);
    }
  }
};

TEST_F(ChatTemplateGolden, TheLanguageIsJinja2s) {
  check_snippets(read(paths::golden("chat_template_golden.json")));
}

// Snippets from elsewhere: tests/golden/jinja_differential.py.
TEST_F(ChatTemplateGolden, OtherSnippets) {
  const char* path = std::getenv("NIBBLE_CHAT_TEMPLATE_SNIPPETS");
  if (!path) GTEST_SKIP() << "NIBBLE_CHAT_TEMPLATE_SNIPPETS names no file";
  check_snippets(read(path));
}

TEST_F(ChatTemplateGolden, OwnTemplatesRenderAsInTransformers) {
  const Json golden = read(paths::golden("chat_template_golden.json"));
  for (const auto& [name, expected] : golden["templates"].items()) {
    for (size_t i = 0; i < golden["cases"].size(); ++i) {
      SCOPED_TRACE(name + ": " + golden["cases"][i].dump());
      check(expected["source"].get<std::string>(), inputs_of(golden, golden["cases"][i]),
            expected["results"][i]);
    }
  }
}

// The templates of ../shared are not part of this repository, so that the golden file knows them
// and what they render by hash only.
TEST_F(ChatTemplateGolden, SharedTemplatesRenderAsInTransformers) {
  const fs::path folder = paths::shared_data() / "chat_templates";
  if (!fs::exists(folder)) GTEST_SKIP() << "no shared data";
  const Json golden = read(paths::golden("chat_template_matrix.json"));
  for (const auto& [name, expected] : golden["templates"].items()) {
    std::ifstream file(folder / name, std::ios::binary);
    const std::string source{std::istreambuf_iterator<char>(file), {}};
    ASSERT_EQ(hex(fnv1a(source)), expected["source_hash"].get<std::string>()) << name;
    const ChatTemplate chat_template(source);
    for (size_t i = 0; i < golden["cases"].size(); ++i) {
      SCOPED_TRACE(name + ": " + golden["cases"][i].dump());
      const ChatTemplateInputs inputs = inputs_of(golden, golden["cases"][i]);
      const Json& result = expected["results"][i];
      if (result.is_object()) {
        check(source, inputs, result);
        continue;
      }
      std::string rendered;
      EXPECT_NO_THROW(rendered = chat_template.render(inputs));
      EXPECT_EQ(fmt::format("{}:{}", rendered.size(), hex(fnv1a(rendered))),
                result.get<std::string>())
          << rendered;
    }
  }
}

ChatTemplateInputs one_message(const std::string& content) {
  ChatTemplateInputs inputs;
  inputs.messages = Json::array({{{"role", "user"}, {"content", content}}});
  return inputs;
}

std::string user_text(const std::string& source, const ChatTemplateInputs& inputs) {
  std::string marked;
  for (const RenderedPiece& piece : ChatTemplate(source).render_pieces(inputs)) {
    const bool by_model = piece.origin == TextOrigin::kModel;
    marked += piece.origin == TextOrigin::kTemplate ? piece.text
              : by_model                            ? "(" + piece.text + ")"
                                                    : "[" + piece.text + "]";
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
  EXPECT_EQ(user_text("{{ documents[0].title }}{{ tools[0].name }}", inputs), "[Tf]");
  inputs.messages[0]["content"] = "said";
  EXPECT_EQ(user_text("{{ messages[0].content }}", inputs), "(said)");
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
