// SPDX-License-Identifier: Apache-2.0
//
// Each component alone on hostile texts, against what the Hugging Face tokenizers library made of
// them; written by tests/golden/make_tokenizer_parts_golden.py.
#include <gtest/gtest.h>

#include <fstream>

#include "nibble/text/decoder.h"
#include "nibble/text/normalizer.h"
#include "nibble/text/pretokenizer.h"
#include "nibble/text/text_collector.h"
#include "tests/testing/paths.h"
#include "tests/text/tokenizer_fixture.h"

namespace nibble {
namespace {

using nlohmann::json;
using Strings = std::vector<std::string>;

const json& golden() {
  static const json file = json::parse(std::ifstream(paths::golden("tokenizer_parts.json")));
  return file;
}

const std::string kSource = "golden.json";

TEST(TokenizerPartsGolden, Normalizers) {
  const auto texts = golden()["texts"].get<Strings>();
  for (const json& one : golden()["normalizers"]) {
    const auto normalizer = make_normalizer(one["spec"], kSource);
    for (size_t i = 0; i < texts.size(); ++i) {
      std::string text = texts[i];
      normalizer->normalize(text);
      EXPECT_EQ(text, one["outputs"][i].get<std::string>())
          << json(texts[i]).dump(-1, ' ', true) << " by "
          << one["spec"].dump(-1, ' ', true).substr(0, 200);
    }
  }
}

TEST(TokenizerPartsGolden, PreTokenizers) {
  const auto texts = golden()["texts"].get<Strings>();
  for (const json& one : golden()["pre_tokenizers"]) {
    const auto pre_tokenizer = make_pre_tokenizer(one["spec"], kSource);
    for (size_t i = 0; i < texts.size(); ++i) {
      PreTokenized input;
      input.text = texts[i];
      const auto size = static_cast<int64_t>(texts[i].size());
      if (size > 0) input.pieces = {{.begin = 0, .end = size, .at_start = true}};
      pre_tokenizer->apply(input);
      Strings pieces;
      for (const Piece& piece : input.pieces) pieces.emplace_back(input.view(piece));
      // A text without any character has no pieces here and an empty one in some cases there.
      if (size == 0) continue;
      EXPECT_EQ(pieces, one["outputs"][i].get<Strings>())
          << json(texts[i]).dump(-1, ' ', true) << " by " << one["spec"].dump();
    }
  }
}

TEST(TokenizerPartsGolden, Decoders) {
  const auto lists = golden()["decoders"]["tokens"].get<std::vector<Strings>>();
  for (const json& one : golden()["decoders"]["cases"]) {
    const auto decoder = make_decoder(one["spec"], kSource);
    for (size_t i = 0; i < lists.size(); ++i) {
      if (one["outputs"][i].is_null()) continue;
      TextCollector text;
      const auto filter = decoder->start(text);
      for (const std::string& token : lists[i]) filter->push(token, true);
      filter->finish();
      EXPECT_EQ(text.take(), one["outputs"][i].get<std::string>())
          << json(lists[i]).dump() << " by " << one["spec"].dump();
    }
  }
}

TEST(TokenizerPartsGolden, Models) {
  const auto texts = golden()["texts"].get<Strings>();
  for (const json& one : golden()["models"]) {
    const auto tokenizer = build(one["tokenizer"]);
    for (size_t i = 0; i < texts.size(); ++i) {
      const Ids ids = tokenizer->encode(texts[i]);
      EXPECT_EQ(ids, one["ids"][i].get<Ids>())
          << json(texts[i]).dump(-1, ' ', true) << " by " << one["name"];
      EXPECT_EQ(decode_both_ways(tokenizer, ids, {.skip_special_tokens = true}),
                one["decoded"][i].get<std::string>())
          << json(texts[i]).dump(-1, ' ', true) << " by " << one["name"];
    }
  }
}

Encoding read_encoding(const json& value) {
  Encoding out{.ids = value[0],
               .type_ids = value[1],
               .special_tokens_mask = value[2],
               .attention_mask = value[3],
               .overflowing = {}};
  if (value.size() > 4) {
    for (const json& part : value[4]) out.overflowing.push_back(read_encoding(part));
  }
  return out;
}

// One line, to be read beside another in a failure.
std::string spell(const Encoding& encoding) {
  json out = {encoding.ids, encoding.type_ids, encoding.special_tokens_mask,
              encoding.attention_mask};
  for (const Encoding& part : encoding.overflowing) out.push_back(spell(part));
  return out.dump();
}

TEST(TokenizerPartsGolden, PairsTruncationAndPadding) {
  const json& all = golden()["encodings"];
  std::vector<EncodeInput> inputs;
  std::vector<Strings> texts = all["inputs"];
  for (const Strings& one : texts) {
    inputs.push_back({.text = one[0], .pair = {}});
    if (one.size() == 2) inputs.back().pair = one[1];
  }
  int refused = 0;
  for (const json& one : all["cases"]) {
    json spec = all["tokenizer"];
    spec["post_processor"] = one["post_processor"];
    for (const json& run : one["runs"]) {
      spec["truncation"] = run["truncation"];
      spec["padding"] = run["padding"];
      const auto tokenizer = build(spec);
      BatchOptions options;
      options.add_special_tokens = run["add_special_tokens"];
      options.truncation = tokenizer->truncation();
      options.padding = tokenizer->padding();
      for (size_t i = 0; i < inputs.size(); ++i) {
        const json& expected = run["outputs"][i];
        const std::string where = "input " + std::to_string(i) + " of " + run.dump() + " by " +
                                  one["post_processor"].dump();
        if (expected.is_null()) {
          EXPECT_THROW(tokenizer->encode_input(inputs[i], options), Error) << where;
          ++refused;
          continue;
        }
        EXPECT_EQ(spell(tokenizer->encode_input(inputs[i], options)),
                  spell(read_encoding(expected)))
            << where;
        if (!run["truncation"].is_null() || !run["padding"].is_null()) continue;
        if (inputs[i].pair.has_value()) continue;
        EXPECT_EQ(
            tokenizer->encode(inputs[i].text, {.add_special_tokens = options.add_special_tokens}),
            expected[0].get<Ids>());
      }
      if (run["batch"].is_null()) continue;
      const auto batch = tokenizer->encode_batch(inputs, options);
      for (size_t i = 0; i < inputs.size(); ++i) {
        EXPECT_EQ(spell(batch[i]), spell(read_encoding(run["batch"][i])));
      }
    }
  }
  EXPECT_GT(refused, 0);
}

TEST(TokenizerPartsGolden, AddedTokens) {
  const json& all = golden()["added_tokens"];
  const auto tokenizer = build(all["tokenizer"]);
  for (size_t i = 0; i < all["texts"].size(); ++i) {
    const auto text = all["texts"][i].get<std::string>();
    const Ids ids = tokenizer->encode(text);
    EXPECT_EQ(ids, all["ids"][i].get<Ids>()) << text;
    EXPECT_EQ(tokenizer->encode(text, {.parse_special_tokens = false}),
              all["plain_ids"][i].get<Ids>())
        << text;
    EXPECT_EQ(decode_both_ways(tokenizer, ids), all["decoded"][i][0].get<std::string>());
    EXPECT_EQ(decode_both_ways(tokenizer, ids, {.skip_special_tokens = true}),
              all["decoded"][i][1].get<std::string>());
  }
}

}  // namespace
}  // namespace nibble
