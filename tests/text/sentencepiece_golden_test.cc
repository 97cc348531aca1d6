// SPDX-License-Identifier: Apache-2.0
//
// SentencePiece models trained by tests/golden/make_sentencepiece_golden.py: the tokenizers that
// come of them, class by class, against those of transformers.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/testing/paths.h"
#include "tests/testing/scratch_folder.h"
#include "tests/text/tokenizer_fixture.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const json& golden() {
  static const json loaded = [] {
    std::ifstream file(paths::golden("sentencepiece/golden.json"));
    return json::parse(file);
  }();
  return loaded;
}

std::shared_ptr<const Tokenizer> open_case(const json& one) {
  const testing::ScratchFolder scratch;
  const fs::path& folder = scratch.path();
  fs::copy_file(paths::golden("sentencepiece/" + one["model"].get<std::string>() + ".model"),
                folder / one["file"].get<std::string>());
  json config = one["config"];
  config["tokenizer_class"] = one["class"];
  std::ofstream(folder / "tokenizer_config.json") << config.dump();
  return Tokenizer::load(folder);
}

TEST(SentencePieceGolden, EqualsTransformers) {
  const json& texts = golden()["texts"];
  ASSERT_GT(texts.size(), 60u);
  ASSERT_GT(golden()["cases"].size(), 20u);
  for (const json& one : golden()["cases"]) {
    SCOPED_TRACE(one["class"].get<std::string>() + " " + one["model"].get<std::string>() + " " +
                 one["config"].dump());
    const auto tokenizer = open_case(one);
    ASSERT_EQ(one["texts"].size(), texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      const json& expected = one["texts"][i];
      const Ids ids = expected["ids"];
      EXPECT_EQ(tokenizer->encode(texts[i].get<std::string>()), ids) << texts[i].dump();
      EXPECT_EQ(decode_both_ways(tokenizer, ids), expected["decoded"].get<std::string>())
          << texts[i].dump();
      EXPECT_EQ(decode_both_ways(tokenizer, ids, {.skip_special_tokens = true}),
                expected.value("skipped", expected["decoded"].get<std::string>()))
          << texts[i].dump();
    }
  }
}

// Of models without a prefix and without removal of spaces, an unknown class makes what they are.
// Texts that spell out names of control or byte pieces, or the mark of a space, are left out: they
// are pieces like others to the tokenizers library.
TEST(SentencePieceGolden, EqualsSentencePieceItself) {
  const json& texts = golden()["texts"];
  for (const auto& [model, expected] : golden()["raw"].items()) {
    const auto tokenizer = open_case({{"class", "TokenizersBackend"},
                                      {"model", model},
                                      {"file", "tokenizer.model"},
                                      {"config", json::object()}});
    int compared = 0;
    for (size_t i = 0; i < texts.size(); ++i) {
      const auto text = texts[i].get<std::string>();
      if (text.find('<') != std::string::npos || text.find("\u2581") != std::string::npos) continue;
      EXPECT_EQ(tokenizer->encode(text), expected[i].get<Ids>()) << model << " " << text;
      ++compared;
    }
    EXPECT_GT(compared, 40);
  }
}

}  // namespace
}  // namespace nibble
