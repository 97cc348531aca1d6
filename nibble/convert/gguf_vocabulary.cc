// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/gguf_vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace nibble {

GgufVocabulary read_gguf_vocabulary(const GgufFile& file) {
  const auto find = [&](const char* name) {
    return file.find_value(fmt::format("tokenizer.ggml.{}", name));
  };
  const auto read_id = [&](const char* name, std::optional<int64_t>& id) {
    if (const GgufValue* value = find(name)) id = value->as_int();
  };
  const auto read_flag = [&](const char* name, std::optional<bool>& flag) {
    if (const GgufValue* value = find(name)) flag = value->as_bool();
  };
  GgufVocabulary vocabulary;
  vocabulary.model = file.value("tokenizer.ggml.model").as_string();
  vocabulary.tokens = file.value("tokenizer.ggml.tokens").as_strings();
  if (const GgufValue* pre = find("pre")) vocabulary.pre = pre->as_string();
  if (const GgufValue* scores = find("scores")) vocabulary.scores = scores->as_floats();
  if (const GgufValue* merges = find("merges")) vocabulary.merges = merges->as_strings();
  if (const GgufValue* types = find("token_type")) {
    for (const int64_t type : types->as_ints()) {
      // Values that no type has stay what they are: out of range.
      vocabulary.token_types.push_back(
          static_cast<int32_t>(std::clamp<int64_t>(type, -1, 1 << 16)));
    }
  }
  read_id("bos_token_id", vocabulary.bos_token_id);
  read_id("eos_token_id", vocabulary.eos_token_id);
  read_id("unknown_token_id", vocabulary.unk_token_id);
  read_id("padding_token_id", vocabulary.pad_token_id);
  read_id("cls_token_id", vocabulary.cls_token_id);
  read_id("seperator_token_id", vocabulary.sep_token_id);  // the format's own spelling
  read_id("mask_token_id", vocabulary.mask_token_id);
  read_flag("add_bos_token", vocabulary.add_bos);
  read_flag("add_eos_token", vocabulary.add_eos);
  read_flag("add_space_prefix", vocabulary.add_space_prefix);
  if (const GgufValue* source = file.find_value("tokenizer.chat_template")) {
    vocabulary.chat_template = source->as_string();
  }
  return vocabulary;
}

}  // namespace nibble
