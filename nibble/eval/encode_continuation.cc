// SPDX-License-Identifier: Apache-2.0
#include "nibble/eval/encode_continuation.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>

#include "nibble/base/error.h"
#include "nibble/base/utf8.h"

namespace nibble {
namespace {

// What Python's str.isspace() says.
bool is_space(char32_t c) { return is_whitespace(c) || (c >= 0x1C && c <= 0x1F); }

// Bytes of the text without space at its end.
size_t stripped_size(std::string_view text) {
  size_t stripped = 0;
  for (size_t at = 0; at < text.size();) {
    if (!is_space(next_code_point(text, at))) stripped = at;
  }
  return stripped;
}

}  // namespace

Continuation encode_continuation(const Tokenizer& tokenizer, std::string_view context,
                                 std::string_view continuation) {
  const std::string whole = std::string(context) + std::string(continuation);
  context = context.substr(0, stripped_size(context));
  Continuation encoded;
  if (context.empty()) {
    const std::optional<int32_t> before =
        tokenizer.bos_token_id() ? tokenizer.bos_token_id() : tokenizer.eos_token_id();
    if (!before) throw Error("the tokenizer has no BOS or EOS token to stand for an empty context");
    encoded.context = {*before};
    encoded.ids = tokenizer.encode(whole, {.add_special_tokens = false});
  } else {
    encoded.context = tokenizer.encode(context);
    encoded.ids = tokenizer.encode(whole);
    const size_t length = std::min(encoded.context.size(), encoded.ids.size());
    encoded.ids.erase(encoded.ids.begin(), encoded.ids.begin() + static_cast<int64_t>(length));
  }
  if (!encoded.ids.empty()) return encoded;
  throw Error("a continuation is no token of its own")
      .expected("more tokens than the context has")
      .got(fmt::format("\"{}\"", continuation));
}

}  // namespace nibble
