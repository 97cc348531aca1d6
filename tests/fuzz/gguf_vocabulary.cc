// SPDX-License-Identifier: Apache-2.0
//
// The vocabulary of a GGUF file as the tokenizer files of an import: text in the form "KEY VALUE"
// line by line stands for the metadata. What make_tokenizer_files() accepts must load.
#include <charconv>
#include <string>

#include "nibble/base/error.h"
#include "nibble/text/gguf_tokenizer.h"
#include "nibble/text/tokenizer.h"
#include "tests/fuzz/fuzzing.h"

namespace nibble::fuzz {

// Each line of a few bytes becomes a token, and a token can be made of others in as many ways as it
// has characters.
const MemoryBound kMemory{.fixed = 32 << 20, .per_byte = 4096};

namespace {

int64_t number(std::string_view text) {
  int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

void set(std::string_view key, std::string_view value, GgufVocabulary& vocabulary) {
  if (key == "model") vocabulary.model = value;
  if (key == "pre") vocabulary.pre = value;
  if (key == "token") {
    vocabulary.tokens.emplace_back(value);
    vocabulary.scores.push_back(-static_cast<float>(vocabulary.tokens.size()));
    vocabulary.token_types.push_back(1);
  }
  if (vocabulary.tokens.empty()) return;
  if (key == "score") vocabulary.scores.back() = static_cast<float>(number(value));
  if (key == "type") vocabulary.token_types.back() = static_cast<int32_t>(number(value));
  if (key == "merge") vocabulary.merges.emplace_back(value);
  if (key == "bos") vocabulary.bos_token_id = number(value);
  if (key == "eos") vocabulary.eos_token_id = number(value);
  if (key == "unk") vocabulary.unk_token_id = number(value);
  if (key == "add_bos") vocabulary.add_bos = value != "0";
  if (key == "prefix") vocabulary.add_space_prefix = value != "0";
}

}  // namespace

void read(Input input) {
  GgufVocabulary vocabulary;
  for (std::string_view rest = text_of(input); !rest.empty();) {
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    const size_t space = line.find(' ');
    if (space != line.npos) set(line.substr(0, space), line.substr(space + 1), vocabulary);
    rest.remove_prefix(end == rest.npos ? rest.size() : end + 1);
  }
  const TokenizerFiles files = make_tokenizer_files(vocabulary, "input.gguf");
  const auto tokenizer =
      Tokenizer::from_json(files.tokenizer_json, "input.gguf", files.tokenizer_config_json);
  tokenizer->decode(tokenizer->encode(text_of(input)));
}

}  // namespace nibble::fuzz
