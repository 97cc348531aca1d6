// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/sentencepiece_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/base/utf8.h"
#include "nibble/text/base64.h"
#include "nibble/text/sentencepiece_classes.h"
#include "nibble/text/tokenizer_class.h"
#include "nibble/text/vocabulary.h"

namespace nibble {
namespace {

using nlohmann::json;
using Algorithm = SentencePieceModel::Algorithm;
using PieceType = SentencePieceModel::PieceType;

std::string quoted(std::string_view text) { return json(text).dump(); }

// A BPE model's vocabulary has no merges: every way to make a piece of two others is one, by the
// rank of the piece made, then by the lengths of its parts.
std::string merges_json(const SentencePieceModel& model, const std::string& source) {
  Vocabulary ids;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    ids.add(model.pieces[id].text, static_cast<int32_t>(id));
  }
  struct Way {
    int32_t merged, left_characters;
    int32_t left, right;
  };
  std::vector<Way> ways;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const std::string_view piece = model.pieces[id].text;
    if (ids.find(piece) != static_cast<int32_t>(id)) continue;
    if (piece.size() > kMaxPieceBytes) {
      throw Error("the SentencePiece model has a piece that is too long")
          .file(source)
          .expected(fmt::format("at most {} bytes", kMaxPieceBytes));
    }
    int32_t characters = 0;
    for (size_t at = 0; at < piece.size();) {
      at += utf8_length(piece[at]);
      ++characters;
      if (at >= piece.size()) break;
      const int32_t left = ids.find(piece.substr(0, at));
      const int32_t right = left < 0 ? -1 : ids.find(piece.substr(at));
      if (right >= 0) ways.push_back({static_cast<int32_t>(id), characters, left, right});
    }
  }
  // Of one piece's ways, those with equal lengths are the same way.
  std::stable_sort(ways.begin(), ways.end(), [](const Way& a, const Way& b) {
    return std::tie(a.merged, a.left_characters) < std::tie(b.merged, b.left_characters);
  });
  std::string out = "[";
  for (const Way& way : ways) {
    out += fmt::format("{}[{},{}]", out.size() == 1 ? "" : ",",
                       quoted(model.pieces[static_cast<size_t>(way.left)].text),
                       quoted(model.pieces[static_cast<size_t>(way.right)].text));
  }
  return out + "]";
}

std::string bpe_json(const SentencePieceModel& model, const TokenizerConfig& config,
                     const std::string& source) {
  const std::string& name = config.tokenizer_class;
  json options = {{"type", "BPE"}, {"fuse_unk", true}, {"byte_fallback", true}};
  if (!is_bpe_class(name)) {
    options["unk_token"] = model.unk_piece;
    options["byte_fallback"] = model.byte_fallback;
  } else if (name != "LlamaTokenizer" && name != "Phi3Tokenizer") {
    options["unk_token"] = config.token("unk_token");
    options["byte_fallback"] = name != "ReformerTokenizer";
  }
  std::string out = options.dump();
  out.pop_back();  // its '}'
  out += ",\"vocab\":{";
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    out += fmt::format("{}{}:{}", id == 0 ? "" : ",", quoted(model.pieces[id].text), id);
  }
  return out + "},\"merges\":" + merges_json(model, source) + "}";
}

// The pieces with their scores in the order that the class gives them, and the unknown one's id.
struct UnigramPieces {
  std::vector<std::pair<std::string_view, double>> list;
  int64_t unk_id;
};

// The place of a token in the list, with this score where one is asked for; `otherwise` for none.
int64_t place_of(const UnigramPieces& pieces, std::string_view text, std::optional<double> score,
                 int64_t otherwise) {
  for (size_t i = 0; i < pieces.list.size(); ++i) {
    const auto& [piece, its_score] = pieces.list[i];
    if (piece == text && its_score == score.value_or(its_score)) return static_cast<int64_t>(i);
  }
  return otherwise;
}

// Special tokens beside those of the file that the class makes: "<extra_id_0>".
std::vector<std::string> tokens_of_class(const TokenizerConfig& config) {
  const std::string& name = config.tokenizer_class;
  std::vector<std::string> out;
  if (name == "T5Tokenizer") {
    const auto count = config.options.find("extra_ids");
    const bool given = count != config.options.end() && count->is_number_unsigned();
    for (size_t i = std::min<size_t>(given ? count->get<size_t>() : 100, 10000); i-- > 0;) {
      out.push_back(fmt::format("<extra_id_{}>", i));
    }
  } else if (name == "PegasusTokenizer") {
    out = {"<mask_1>"};
    for (int i = 2; i < 103; ++i) out.push_back(fmt::format("<unk_{}>", i));
  } else if (name == "XGLMTokenizer") {
    for (int i = 0; i < 7; ++i) out.push_back(fmt::format("<madeupword{}>", i));
  }
  return out;
}

UnigramPieces unigram_pieces(const SentencePieceModel& model, const TokenizerConfig& config,
                             const std::vector<std::string>& made) {
  const std::string& name = config.tokenizer_class;
  UnigramPieces out{{}, model.unk_id};
  const auto put = [&](std::string_view text, double score = 0) {
    out.list.emplace_back(text, score);
  };
  size_t from = 0;
  if (name == "XLMRobertaTokenizer") {
    // fairseq's order of the first four; SentencePiece has <unk>, <s>, </s>.
    for (const char* token : {"bos_token", "pad_token", "eos_token", "unk_token"}) {
      put(config.token(token));
    }
    from = 3;
  } else if (name == "CamembertTokenizer") {
    put("<s>NOTUSED");
    put(config.token("pad_token"));
    put("</s>NOTUSED");
    put(config.token("unk_token"));
    put("<unk>NOTUSED", -100);
    from = 1;
  } else if (name == "PegasusTokenizer") {
    put(config.token("pad_token"));
    put(config.token("eos_token"));
    put("<mask_1>");
    put("<mask_2>");
    for (size_t i = 1; i < made.size(); ++i) put(made[i], -100);
    from = 2;
  }
  for (size_t id = from; id < model.pieces.size(); ++id) {
    put(model.pieces[id].text, static_cast<double>(model.pieces[id].score));
  }
  if (name == "XLMRobertaTokenizer" || name == "CamembertTokenizer") {
    put(config.token("mask_token"));
  } else if (name == "T5Tokenizer") {
    for (const std::string& token : made) put(token);
  }
  const std::string& unknown = config.token("unk_token");
  if (name == "AlbertTokenizer") out.unk_id = 1;
  if (name == "T5Tokenizer" || name == "RemBertTokenizer") out.unk_id = 2;
  if (name == "XLMRobertaTokenizer" || name == "XGLMTokenizer" || name == "BarthezTokenizer") {
    out.unk_id = 3;
  }
  if (name == "CamembertTokenizer") out.unk_id = place_of(out, unknown, std::nullopt, 0);
  if (name == "UdopTokenizer") out.unk_id = place_of(out, unknown, std::nullopt, 2);
  if (name == "DebertaV2Tokenizer") out.unk_id = place_of(out, unknown, 0.0, model.unk_id);
  if (name == "BigBirdTokenizer") out.unk_id = place_of(out, unknown, 0.0, 100);
  if (name == "PegasusTokenizer") out.unk_id = place_of(out, unknown, 0.0, -1);
  return out;
}

std::string unigram_json(const UnigramPieces& pieces, bool byte_fallback) {
  std::string out = json{
      {"type", "Unigram"},
      {"unk_id", pieces.unk_id < 0 ? json(nullptr) : json(pieces.unk_id)},
      {"byte_fallback",
       byte_fallback}}.dump();
  out.pop_back();
  out += ",\"vocab\":[";
  const char* comma = "";
  for (const auto& [text, score] : pieces.list) {
    out += fmt::format("{}[{},{}]", comma, quoted(text), json(score).dump());
    comma = ",";
  }
  return out + "]}";
}

json added_token(std::string_view text, bool special) {
  return {{"id", 0},         {"content", text},     {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

// What transformers makes of a model whose class has no converter.
void add_generic_parts(const SentencePieceModel& model, json& head, TokenizerConfig& config) {
  const json spaces = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}};
  json steps = json::array();
  if (!head["normalizer"].is_null()) steps.push_back(head["normalizer"]);
  steps.push_back(spaces);
  head["normalizer"] = {{"type", "Sequence"}, {"normalizers", steps}};
  json decoders = json::array();
  decoders.push_back({{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}});
  if (model.byte_fallback) {
    decoders.push_back({{"type", "ByteFallback"}});
    decoders.push_back({{"type", "Fuse"}});
  }
  head["decoder"] = {{"type", "Sequence"}, {"decoders", decoders}};
  const auto name_token = [&](const char* name, int64_t id, const std::string& piece) {
    if (id < 0) return;
    config.special_tokens.try_emplace(
        name, AddedToken{.content = piece, .normalized = false, .special = true});
  };
  name_token("bos_token", model.bos_id, model.bos_piece);
  name_token("eos_token", model.eos_id, model.eos_piece);
  name_token("unk_token", model.unk_id, model.unk_piece);
}

}  // namespace

std::string sentencepiece_to_json(const SentencePieceModel& model, TokenizerConfig& config,
                                  const std::string& source) {
  const bool known = !default_special_tokens(config.tokenizer_class).empty();
  if (model.algorithm != Algorithm::kUnigram && model.algorithm != Algorithm::kBpe) {
    throw Error("the SentencePiece model is of a kind that is not supported")
        .file(source)
        .expected("Unigram or BPE")
        .got(model.algorithm == Algorithm::kWord ? "WORD" : "CHAR");
  }
  if (has_rules_of_its_own(config.tokenizer_class)) {
    throw Error(
        "the tokenizer class takes a SentencePiece model in its own way, which is not supported")
        .file(source)
        .expected("tokenizer.json, or a class such as LlamaTokenizer")
        .got(config.tokenizer_class)
        .hint("AutoTokenizer.from_pretrained and save_pretrained write tokenizer.json");
  }
  json head = {{"version", "1.0"},         {"truncation", nullptr},    {"padding", nullptr},
               {"normalizer", nullptr},    {"pre_tokenizer", nullptr}, {"decoder", nullptr},
               {"post_processor", nullptr}};
  head["added_tokens"] = json::array();
  const std::string& name = config.tokenizer_class;
  const bool takes_pieces = name != "PegasusTokenizer";  // puts its own list in place of theirs
  // These two add all pieces a second time, as special ones; others the named tokens alone.
  const bool all_special = name == "RemBertTokenizer" || name == "ReformerTokenizer";
  const auto is_named = [&](std::string_view text) {
    return std::ranges::any_of(config.special_tokens,
                               [&](const auto& one) { return one.second.content == text; });
  };
  for (const auto& piece : model.pieces) {
    if (!takes_pieces) break;
    if (piece.type != PieceType::kControl && piece.type != PieceType::kUserDefined) continue;
    if (piece.text.empty()) continue;
    head["added_tokens"].push_back(added_token(
        piece.text, all_special || piece.type == PieceType::kControl || is_named(piece.text)));
  }
  if (!model.precompiled_charsmap.empty()) {
    head["normalizer"] = {{"type", "Precompiled"},
                          {"precompiled_charsmap", encode_base64(model.precompiled_charsmap)}};
  }
  const bool bpe = known ? is_bpe_class(name) : model.algorithm == Algorithm::kBpe;
  if (!known) add_generic_parts(model, head, config);
  std::string text;
  const std::vector<std::string> made = tokens_of_class(config);
  if (bpe) {
    text = bpe_json(model, config, source);
  } else {
    const UnigramPieces pieces = unigram_pieces(model, config, made);
    if (name == "PegasusTokenizer" && pieces.unk_id < 0) {
      throw Error("the SentencePiece model has no unknown piece behind those that Pegasus replaces")
          .file(source);
    }
    // Behind the named tokens, where these are new.
    for (const std::string& token : made) {
      config.extra_special_tokens.push_back(
          {.content = token, .normalized = false, .special = true});
    }
    text = unigram_json(pieces, !known && model.byte_fallback);
  }
  std::string out = head.dump();
  out.pop_back();
  return out + ",\"model\":" + text + "}";
}

}  // namespace nibble
