// SPDX-License-Identifier: Apache-2.0
//
// tokenizer.json, and behind a zero byte tokenizer_config.json: text is encoded and decoded, whole
// and as a stream. The text is the end of the input itself, so that both can fit each other.
#include "nibble/text/tokenizer.h"

#include <algorithm>
#include <string>
#include <vector>

#include "tests/fuzz/fuzzing.h"

namespace nibble::fuzz {

// Merge tables and caches have a size of their own; a vocabulary takes about 200 times the file.
const MemoryBound kMemory{.fixed = 64 << 20, .per_byte = 2048};

namespace {

constexpr size_t kTextBytes = 200;
constexpr std::string_view kPlainText = "Hello, World 123 \n\t  \xe4\xb8\x96\xe7\x95\x8c <s></s>";

void use(const std::shared_ptr<const Tokenizer>& tokenizer, std::string_view text,
         const EncodeOptions& options) {
  const std::vector<int32_t> ids = tokenizer->encode(text, options);
  const std::string decoded = tokenizer->decode(ids);
  StreamDecoder stream(tokenizer);
  std::string streamed;
  for (const int32_t id : ids) streamed += stream.push(id);
  streamed += stream.finish();
  require(streamed == decoded, "a stream decodes to the same text");
  tokenizer->decode(ids, {.skip_special_tokens = true});
}

}  // namespace

void read(Input input) {
  const std::string_view text = text_of(input);
  const size_t border = std::min(text.find('\0'), text.size());
  const std::string_view config = text.substr(std::min(border + 1, text.size()));
  const auto tokenizer = Tokenizer::from_json(text.substr(0, border), "tokenizer.json", config);
  const std::string_view own = text.substr(text.size() - std::min(text.size(), kTextBytes));
  for (const std::string_view sample : {own, kPlainText, std::string_view()}) {
    use(tokenizer, sample, {});
    use(tokenizer, sample, {.add_special_tokens = false, .parse_special_tokens = false});
  }
  for (int32_t id = -1; id < 300; ++id) tokenizer->decode({&id, 1});
}

}  // namespace nibble::fuzz
