// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/gguf_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/base/utf8.h"
#include "nibble/text/gguf_pre_tokenizer.h"
#include "nibble/text/vocabulary.h"

namespace nibble {
namespace {

using nlohmann::json;

enum TokenType : int32_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

using Merge = std::pair<std::string, std::string>;

int32_t type_of(const GgufVocabulary& v, size_t id) {
  return v.token_types.empty() ? kNormal : v.token_types[id];
}

void check(const GgufVocabulary& v, const std::string& source) {
  const auto fail = [&](const std::string& problem) {
    return Error("the GGUF vocabulary " + problem).file(source);
  };
  if (v.model != "gpt2" && v.model != "llama" && v.model != "bert") {
    throw fail("is of a kind that is not supported").expected("gpt2, llama or bert").got(v.model);
  }
  if (v.tokens.empty() || v.tokens.size() > static_cast<size_t>(kMaxTokenId)) {
    throw fail("has no tokens or too many").got(std::to_string(v.tokens.size()));
  }
  if (!v.token_types.empty() && v.token_types.size() != v.tokens.size()) {
    throw fail("has another number of token types than of tokens");
  }
  if (v.model == "llama" && v.scores.size() != v.tokens.size()) {
    throw fail("has another number of scores than of tokens");
  }
  for (float score : v.scores) {
    if (!std::isfinite(score)) throw fail("has a score that is no finite number");
  }
  for (size_t id = 0; id < v.tokens.size(); ++id) {
    if (!is_valid_utf8(v.tokens[id]))
      throw fail(fmt::format("has a token ({}) that is no UTF-8", id));
  }
  for (const std::string& merge : v.merges) {
    if (!is_valid_utf8(merge)) throw fail("has a merge that is no UTF-8");
  }
  if (!is_valid_utf8(v.chat_template)) throw fail("has a chat template that is no UTF-8");
}

// Every way to make a token of two others, by falling score; of one token's ways the one with the
// longer left part first. SentencePiece takes the leftmost pair of the best score: with one place
// for all ways of a token that is what the ranks say, too.
std::vector<Merge> merges_from_scores(const GgufVocabulary& v, const std::string& source) {
  Vocabulary pieces;  // control, unknown and byte tokens never take part
  for (size_t id = 0; id < v.tokens.size(); ++id) {
    const int32_t type = type_of(v, id);
    if (type != kNormal && type != kUserDefined && type != kUnused) continue;
    if (v.tokens[id].size() > kMaxPieceBytes) {
      throw Error("the GGUF vocabulary has a token that is too long")
          .file(source)
          .expected(fmt::format("at most {} bytes", kMaxPieceBytes));
    }
    pieces.add(v.tokens[id], static_cast<int32_t>(id));
  }
  struct Way {
    float score;
    int32_t left, right;
  };
  std::vector<Way> ways;
  for (size_t id = 0; id < v.tokens.size(); ++id) {
    const std::string_view token = v.tokens[id];
    if (pieces.find(token) != static_cast<int32_t>(id)) continue;
    const auto first = static_cast<std::ptrdiff_t>(ways.size());
    for (size_t at = 0; at < token.size();) {
      at += utf8_length(token[at]);
      if (at >= token.size()) break;
      const int32_t left = pieces.find(token.substr(0, at));
      const int32_t right = left < 0 ? -1 : pieces.find(token.substr(at));
      if (right >= 0) ways.push_back({v.scores[id], left, right});
    }
    std::reverse(ways.begin() + first, ways.end());
  }
  std::stable_sort(ways.begin(), ways.end(),
                   [](const Way& a, const Way& b) { return a.score > b.score; });
  std::vector<Merge> merges;
  merges.reserve(ways.size());
  for (const Way& way : ways) {
    merges.emplace_back(v.tokens[static_cast<size_t>(way.left)],
                        v.tokens[static_cast<size_t>(way.right)]);
  }
  return merges;
}

// The "model" object as text: a JSON library's tree of some 300,000 strings would be slow to build.
std::string model_json(const GgufVocabulary& v, const std::vector<std::string>& spelled,
                       const std::vector<Merge>& pairs, const json& options) {
  std::string out = options.dump();
  out.pop_back();  // its '}'
  out += ",\"vocab\":{";
  for (size_t id = 0; id < v.tokens.size(); ++id) {
    out += fmt::format("{}{}:{}", id == 0 ? "" : ",", json(v.tokens[id]).dump(), id);
  }
  out += "},\"merges\":[";
  const char* comma = "";
  for (const std::string& merge : spelled) {
    out += comma + json(merge).dump();
    comma = ",";
  }
  for (const Merge& pair : pairs) {
    out += fmt::format("{}[{},{}]", comma, json(pair.first).dump(), json(pair.second).dump());
    comma = ",";
  }
  return out + "]}";
}

json added_tokens(const GgufVocabulary& v) {
  json out = json::array();
  for (size_t id = 0; id < v.tokens.size(); ++id) {
    const int32_t type = type_of(v, id);
    if (type != kUnknown && type != kControl && type != kUserDefined) continue;
    out.push_back({{"id", id},
                   {"content", v.tokens[id]},
                   {"single_word", false},
                   {"lstrip", false},
                   {"rstrip", false},
                   {"normalized", false},
                   {"special", type != kUserDefined}});
  }
  return out;
}

json config_json(const GgufVocabulary& v, bool add_bos_default, const std::string& source) {
  json out = {{"tokenizer_class", "PreTrainedTokenizerFast"},
              {"add_bos_token", v.add_bos.value_or(add_bos_default)},
              {"add_eos_token", v.add_eos.value_or(false)},
              {"clean_up_tokenization_spaces", false}};
  const auto name = [&](const char* key, std::optional<int64_t> id) {
    out[key] = nullptr;  // said to be absent, so that no class default takes its place
    if (!id.has_value()) return;
    if (*id < 0 || *id >= static_cast<int64_t>(v.tokens.size())) {
      throw Error(fmt::format("the GGUF vocabulary has a {} that is out of range", key))
          .file(source)
          .got(std::to_string(*id));
    }
    out[key] = v.tokens[static_cast<size_t>(*id)];
  };
  name("bos_token", v.bos_token_id);
  name("eos_token", v.eos_token_id);
  name("unk_token", v.unk_token_id);
  name("pad_token", v.pad_token_id);
  if (v.model == "bert") {
    name("cls_token", v.cls_token_id);
    name("sep_token", v.sep_token_id);
    name("mask_token", v.mask_token_id);
  }
  if (!v.chat_template.empty()) out["chat_template"] = v.chat_template;
  return out;
}

std::string tokenizer_json(json head, const std::string& model) {
  head["version"] = "1.0";
  head["truncation"] = nullptr;
  head["padding"] = nullptr;
  std::string out = head.dump();
  out.pop_back();
  return out + ",\"model\":" + model + "}";
}

// SentencePiece's own way with spaces: each becomes U+2581, and one more goes in front of the text,
// whether or not it starts with a space.
void add_sentencepiece_parts(bool space_prefix, json& head) {
  constexpr const char* kMark = "\u2581";
  json normalizers = json::array();
  if (space_prefix) normalizers.push_back({{"type", "Prepend"}, {"prepend", kMark}});
  normalizers.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kMark}});
  json decoders =
      json::array({{{"type", "Replace"}, {"pattern", {{"String", kMark}}}, {"content", " "}},
                   {{"type", "ByteFallback"}},
                   {{"type", "Fuse"}}});
  if (space_prefix) {
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  head["normalizer"] = {{"type", "Sequence"}, {"normalizers", std::move(normalizers)}};
  head["pre_tokenizer"] = nullptr;
  head["decoder"] = {{"type", "Sequence"}, {"decoders", std::move(decoders)}};
}

// BERT's own spelling of the pieces: "##ing" inside a word. The file has "ing" for it, and U+2581
// in front of pieces that start a word.
std::string wordpiece_json(const GgufVocabulary& v) {
  constexpr std::string_view kMark = "\u2581";
  std::string out = json{{"type", "WordPiece"},
                         {"unk_token", v.tokens[static_cast<size_t>(*v.unk_token_id)]},
                         {"continuing_subword_prefix", "##"},
                         {"max_input_chars_per_word", 100}}
                        .dump();
  out.pop_back();
  out += ",\"vocab\":{";
  for (size_t id = 0; id < v.tokens.size(); ++id) {
    std::string_view token = v.tokens[id];
    std::string piece;
    if (token.starts_with(kMark)) {
      piece = token.substr(kMark.size());
    } else if (type_of(v, id) != kNormal || (token.starts_with('[') && token.ends_with(']'))) {
      piece = token;
    } else {
      piece.append("##").append(token);
    }
    out += fmt::format("{}{}:{}", id == 0 ? "" : ",", json(piece).dump(), id);
  }
  return out + "}}";
}

TokenizerFiles wordpiece_files(const GgufVocabulary& v, json head, const std::string& source) {
  json config = config_json(v, false, source);
  for (const auto& [key, id] :
       {std::pair("unknown_token_id", v.unk_token_id), std::pair("cls_token_id", v.cls_token_id),
        std::pair("seperator_token_id", v.sep_token_id)}) {
    if (!id.has_value()) {
      throw Error(fmt::format("the GGUF vocabulary lacks its {}", key)).file(source);
    }
  }
  // The class builds the normalizer, the pre-tokenizer, the decoder and the template.
  config["tokenizer_class"] = "BertTokenizer";
  config.erase("add_bos_token");
  config.erase("add_eos_token");
  for (const char* part : {"normalizer", "pre_tokenizer", "decoder"}) head[part] = nullptr;
  return {tokenizer_json(std::move(head), wordpiece_json(v)), config.dump()};
}

}  // namespace

TokenizerFiles make_tokenizer_files(const GgufVocabulary& v, const std::string& source) {
  check(v, source);
  json head = {{"added_tokens", added_tokens(v)}, {"post_processor", nullptr}};
  if (v.model == "bert") return wordpiece_files(v, std::move(head), source);
  if (v.model == "gpt2") {
    GgufPreTokenizer pre = gguf_pre_tokenizer(v.pre, source);
    head["normalizer"] = std::move(pre.normalizer);
    head["pre_tokenizer"] = std::move(pre.pre_tokenizer);
    head["decoder"] = {{"type", "ByteLevel"},
                       {"add_prefix_space", true},
                       {"trim_offsets", true},
                       {"use_regex", true}};
    const std::string model =
        model_json(v, v.merges, {}, {{"type", "BPE"}, {"ignore_merges", pre.ignore_merges}});
    return {tokenizer_json(std::move(head), model), config_json(v, pre.add_bos, source).dump()};
  }
  const json config = config_json(v, true, source);
  add_sentencepiece_parts(v.add_space_prefix.value_or(true), head);
  const json options = {{"type", "BPE"},
                        {"unk_token", config["unk_token"]},
                        {"fuse_unk", true},
                        {"byte_fallback", true}};
  const std::string model = model_json(v, {}, merges_from_scores(v, source), options);
  return {tokenizer_json(std::move(head), model), config.dump()};
}

}  // namespace nibble
