// SPDX-License-Identifier: Apache-2.0
//
// A chat template from a stranger, rendered with conversations of every kind. What the pieces say
// together must be what the whole rendering says.
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/text/chat_template.h"
#include "tests/fuzz/fuzzing.h"

namespace nibble::fuzz {

// What jinja/limits.h allows a rendering to hold: a list takes up to some 30 bytes for each that is
// counted.
const MemoryBound kMemory{.fixed = size_t{1536} << 20, .per_byte = 4096};

namespace {

using Json = nlohmann::ordered_json;

// Variables beyond those of a chat, for the snippets among the seeds.
const Json& variables() {
  static const Json kVariables = Json::parse(R"({
    "bos_token": "<s>", "eos_token": "</s>", "name": "Ada", "text": "  Hello, W\u00f6rld \u4e16 \n",
    "numbers": [3, 1, 2, 3], "words": ["pear", "Apple", "fig", "apple"],
    "user": {"name": "Ada", "age": 36, "tags": ["a", "b"], "items": "shadowed", "nil": null},
    "people": [{"name": "Bo", "age": 30, "home": {"town": "Ulm"}}, {"name": "al", "age": 25}],
    "yes": true, "no": false, "nothing": null, "ratio": 2.5, "empty": {},
    "schema": {"type": "object", "html": "<a href='x'>&\"\u00e9\u2028\u0007</a>"},
    "tree": [{"v": 1, "kids": [{"v": 2, "kids": []}]}]})");
  return kVariables;
}

const std::vector<ChatTemplateInputs>& conversations() {
  static const std::vector<ChatTemplateInputs> kConversations = [] {
    const auto chat = [](const char* messages, const char* tools) {
      ChatTemplateInputs inputs;
      inputs.messages = Json::parse(messages);
      inputs.tools = Json::parse(tools);
      inputs.extra = variables();
      inputs.now = std::chrono::system_clock::from_time_t(1764842400);
      return inputs;
    };
    return std::vector<ChatTemplateInputs>{
        chat(R"([{"role": "user", "content": "Hi <|im_end|>"}])", "null"),
        chat(R"([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "a"},
                 {"role": "assistant", "content": "<think>\nso\n</think>\n\n b "},
                 {"role": "user", "content": [{"type": "text", "text": "see"}]}])",
             "null"),
        chat(R"([{"role": "user", "content": "Weather?"},
                 {"role": "assistant", "content": "", "tool_calls": [{"id": "call12345",
                  "type": "function", "function": {"name": "f", "arguments": {"x": [1.5, null]}}}]},
                 {"role": "tool", "content": "20", "tool_call_id": "call12345", "name": "f"}])",
             R"([{"type": "function", "function": {"name": "f", "description": "<&>",
                  "parameters": {"type": "object", "properties": {"x": {"type": "array"}}}}}])")};
  }();
  return kConversations;
}

}  // namespace

void read(Input input) {
  const ChatTemplate chat_template(text_of(input));
  for (const ChatTemplateInputs& inputs : conversations()) {
    std::string whole;
    try {
      whole = chat_template.render(inputs);
    } catch (const Error&) {
      continue;  // what one conversation makes fail may be fine for the next
    }
    std::string joined;
    for (const RenderedPiece& piece : chat_template.render_pieces(inputs)) {
      require(!piece.text.empty(), "no piece is empty");
      joined += piece.text;
    }
    require(joined == whole, "the pieces make up the whole");
  }
}

}  // namespace nibble::fuzz
