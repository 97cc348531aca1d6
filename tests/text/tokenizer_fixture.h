// SPDX-License-Identifier: Apache-2.0
//
// Small tokenizer.json texts for tests, and what many of these tests do with them.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/text/tokenizer.h"

namespace nibble {

// A tokenizer.json whose parts a test replaces one by one.
inline nlohmann::json plain_tokenizer_json() {
  return nlohmann::json::parse(R"({
    "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
    "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": {"type": "Fuse"},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
              "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
              "ignore_merges": false,
              "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4, " ": 5, "<s>": 6, "</s>": 7},
              "merges": ["a b", "ab c"]}})");
}

inline std::shared_ptr<const Tokenizer> build(const nlohmann::json& json,
                                              const nlohmann::json& config = nullptr) {
  return Tokenizer::from_json(json.dump(), "test.json", config.is_null() ? "" : config.dump());
}

// The text of the Error that building throws; "" when it throws none.
inline std::string build_error(std::string_view json, std::string_view config = {}) {
  try {
    Tokenizer::from_json(json, "test.json", config);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

using Ids = std::vector<int32_t>;

// decode() of the ids, after checking that a StreamDecoder says the same.
inline std::string decode_both_ways(const std::shared_ptr<const Tokenizer>& tokenizer,
                                    const Ids& ids, const DecodeOptions& options = {}) {
  StreamDecoder stream(tokenizer, options);
  std::string streamed;
  for (int32_t id : ids) streamed += stream.push(id);
  streamed += stream.finish();
  const std::string whole = tokenizer->decode(ids, options);
  EXPECT_EQ(streamed, whole);
  return whole;
}

}  // namespace nibble
