// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/tokenizer_class.h"

#include <map>
#include <string_view>
#include <utility>
#include <vector>

namespace nibble {
namespace {

using nlohmann::json;

constexpr const char* kMark = "\u2581";

constexpr const char* kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kClipPattern =
    R"(<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)";

json sequence(const char* key, json steps) {
  return {{"type", "Sequence"}, {key, std::move(steps)}};
}

json replace(const char* kind, const char* pattern, const char* content) {
  return {{"type", "Replace"}, {"pattern", {{kind, pattern}}}, {"content", content}};
}

json byte_level(bool add_prefix_space, bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", add_prefix_space},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

json split(const char* kind, const char* pattern, const char* behavior, bool invert) {
  return {{"type", "Split"},
          {"pattern", {{kind, pattern}}},
          {"behavior", behavior},
          {"invert", invert}};
}

json metaspace(const char* prepend_scheme, bool split_words) {
  return {{"type", "Metaspace"},
          {"replacement", kMark},
          {"prepend_scheme", prepend_scheme},
          {"split", split_words}};
}

// U+2581 to spaces, byte tokens to text, and one space off the start where one was put there.
json sentencepiece_decoder(bool strip_space) {
  json steps = {replace("String", kMark, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}};
  if (strip_space) {
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  return sequence("decoders", std::move(steps));
}

// The charsmap is all that the Unigram classes take from a file's normalizer.
json find_charsmap(const json& normalizer) {
  if (!normalizer.is_object()) return nullptr;
  const std::string type = normalizer.value("type", "");
  if (type == "Precompiled") return normalizer;
  if (type != "Sequence" || !normalizer.contains("normalizers")) return nullptr;
  for (const json& step : normalizer["normalizers"]) {
    if (step.is_object() && step.value("type", "") == "Precompiled") return step;
  }
  return nullptr;
}

bool option(const TokenizerConfig& config, const char* key, bool fallback) {
  const auto found = config.options.find(key);
  return found != config.options.end() && found->is_boolean() ? found->get<bool>() : fallback;
}

void build_llama(const TokenizerConfig& config, TokenizerSections& out) {
  const bool prefix = config.add_prefix_space.value_or(true);
  out.normalizer = nullptr;
  out.pre_tokenizer = metaspace(!prefix         ? "never"
                                : config.legacy ? "always"
                                                : "first",
                                /*split_words=*/false);
  out.decoder = sentencepiece_decoder(prefix);
}

void build_gemma(const TokenizerConfig&, TokenizerSections& out) {
  out.normalizer = replace("String", " ", kMark);
  out.pre_tokenizer = split("String", " ", "MergedWithPrevious", false);
  out.decoder = sentencepiece_decoder(false);
}

void build_gpt2(const TokenizerConfig& config, TokenizerSections& out) {
  out.normalizer = nullptr;
  out.pre_tokenizer = byte_level(config.add_prefix_space.value_or(false), true);
  out.decoder = byte_level(true, true);
}

void build_qwen2(const TokenizerConfig& config, TokenizerSections& out) {
  out.normalizer = {{"type", "NFC"}};
  out.pre_tokenizer =
      sequence("pretokenizers", {split("Regex", kQwen2Pattern, "Isolated", false),
                                 byte_level(config.add_prefix_space.value_or(false), false)});
  out.decoder = byte_level(true, true);
}

void build_clip(const TokenizerConfig&, TokenizerSections& out) {
  out.normalizer = sequence(
      "normalizers", {{{"type", "NFC"}}, replace("Regex", "\\s+", " "), {{"type", "Lowercase"}}});
  out.pre_tokenizer = sequence(
      "pretokenizers", {split("Regex", kClipPattern, "Removed", true), byte_level(false, true)});
  // The class mends the decoded text itself: an end-of-word mark becomes a space.
  out.decoder =
      sequence("decoders",
               {byte_level(true, true),
                replace("String", "</w>", " "),
                {{"type", "Strip"}, {"content", " "}, {"start", INT32_MAX}, {"stop", INT32_MAX}}});
}

void build_bert(const TokenizerConfig& config, TokenizerSections& out) {
  json accents = nullptr;
  if (const auto found = config.options.find("strip_accents");
      found != config.options.end() && found->is_boolean()) {
    accents = *found;
  }
  out.normalizer = {{"type", "BertNormalizer"},
                    {"clean_text", true},
                    {"handle_chinese_chars", option(config, "tokenize_chinese_chars", true)},
                    {"strip_accents", accents},
                    {"lowercase", option(config, "do_lower_case", true)}};
  out.pre_tokenizer = {{"type", "BertPreTokenizer"}};
  out.decoder = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
}

void build_words_and_metaspace(const char* scheme, TokenizerSections& out) {
  out.pre_tokenizer =
      sequence("pretokenizers", {{{"type", "WhitespaceSplit"}}, metaspace(scheme, true)});
  out.decoder = metaspace(scheme, true);
}

void build_t5(const TokenizerConfig&, TokenizerSections& out) {
  out.normalizer = find_charsmap(out.normalizer);
  build_words_and_metaspace("always", out);
}

void build_xlm_roberta(const TokenizerConfig& config, TokenizerSections& out) {
  out.normalizer = find_charsmap(out.normalizer);
  build_words_and_metaspace(config.add_prefix_space.value_or(true) ? "always" : "never", out);
}

void build_albert(const TokenizerConfig& config, TokenizerSections& out) {
  json steps = {replace("String", "``", "\""), replace("String", "''", "\"")};
  if (!option(config, "keep_accents", false)) {
    steps.push_back({{"type", "NFKD"}});
    steps.push_back({{"type", "StripAccents"}});
  }
  if (option(config, "do_lower_case", true)) steps.push_back({{"type", "Lowercase"}});
  if (const json charsmap = find_charsmap(out.normalizer); !charsmap.is_null()) {
    steps.push_back(charsmap);
  }
  out.normalizer = sequence("normalizers", std::move(steps));
  build_words_and_metaspace(config.add_prefix_space.value_or(true) ? "always" : "never", out);
}

struct TokenizerClass {
  ModelType model;
  void (*build)(const TokenizerConfig&, TokenizerSections&);
  std::vector<NamedToken> tokens;
};

const TokenizerClass* find_class(const std::string& name) {
  static constexpr const char* kText = "<|endoftext|>";
  static const std::map<std::string, TokenizerClass> classes = {
      {"LlamaTokenizer",
       {ModelType::kBpe,
        build_llama,
        {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}}}},
      {"GemmaTokenizer",
       {ModelType::kBpe,
        build_gemma,
        {{"unk_token", "<unk>"},
         {"bos_token", "<bos>"},
         {"eos_token", "<eos>"},
         {"pad_token", "<pad>"},
         {"mask_token", "<mask>"}}}},
      {"GPT2Tokenizer",
       {ModelType::kBpe,
        build_gpt2,
        {{"bos_token", kText}, {"eos_token", kText}, {"unk_token", kText}}}},
      {"WhisperTokenizer",
       {ModelType::kBpe,
        build_gpt2,
        {{"bos_token", kText}, {"eos_token", kText}, {"unk_token", kText}}}},
      {"RobertaTokenizer",
       {ModelType::kBpe,
        build_gpt2,
        {{"bos_token", "<s>"},
         {"eos_token", "</s>"},
         {"sep_token", "</s>"},
         {"cls_token", "<s>"},
         {"unk_token", "<unk>"},
         {"pad_token", "<pad>"},
         {"mask_token", "<mask>"}}}},
      {"Qwen2Tokenizer",
       {ModelType::kBpe,
        build_qwen2,
        {{"eos_token", kText}, {"unk_token", kText}, {"pad_token", kText}}}},
      {"CLIPTokenizer",
       {ModelType::kBpe,
        build_clip,
        {{"bos_token", "<|startoftext|>"},
         {"eos_token", kText},
         {"unk_token", kText},
         {"pad_token", kText}}}},
      {"BertTokenizer",
       {ModelType::kWordPiece,
        build_bert,
        {{"unk_token", "[UNK]"},
         {"sep_token", "[SEP]"},
         {"pad_token", "[PAD]"},
         {"cls_token", "[CLS]"},
         {"mask_token", "[MASK]"}}}},
      {"T5Tokenizer",
       {ModelType::kUnigram,
        build_t5,
        {{"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"pad_token", "<pad>"}}}},
      {"AlbertTokenizer",
       {ModelType::kUnigram,
        build_albert,
        {{"bos_token", "[CLS]"},
         {"eos_token", "[SEP]"},
         {"unk_token", "<unk>"},
         {"sep_token", "[SEP]"},
         {"pad_token", "<pad>"},
         {"cls_token", "[CLS]"},
         {"mask_token", "[MASK]"}}}},
      {"XLMRobertaTokenizer",
       {ModelType::kUnigram,
        build_xlm_roberta,
        {{"bos_token", "<s>"},
         {"eos_token", "</s>"},
         {"sep_token", "</s>"},
         {"cls_token", "<s>"},
         {"unk_token", "<unk>"},
         {"pad_token", "<pad>"},
         {"mask_token", "<mask>"}}}},
  };
  const auto found = classes.find(name);
  return found == classes.end() ? nullptr : &found->second;
}

}  // namespace

std::string class_of_model_type(const std::string& model_type) {
  static const std::map<std::string, const char*> classes = {{"albert", "AlbertTokenizer"},
                                                             {"bart", "RobertaTokenizer"},
                                                             {"bert", "BertTokenizer"},
                                                             {"clip", "CLIPTokenizer"},
                                                             {"codegen", "GPT2Tokenizer"},
                                                             {"distilbert", "BertTokenizer"},
                                                             {"electra", "BertTokenizer"},
                                                             {"gemma", "GemmaTokenizer"},
                                                             {"gemma2", "GemmaTokenizer"},
                                                             {"gemma3", "GemmaTokenizer"},
                                                             {"gemma3_text", "GemmaTokenizer"},
                                                             {"gpt2", "GPT2Tokenizer"},
                                                             {"llama", "LlamaTokenizer"},
                                                             {"mt5", "T5Tokenizer"},
                                                             {"opt", "GPT2Tokenizer"},
                                                             {"phi", "GPT2Tokenizer"},
                                                             {"qwen2", "Qwen2Tokenizer"},
                                                             {"qwen3", "Qwen2Tokenizer"},
                                                             {"roberta", "RobertaTokenizer"},
                                                             {"starcoder2", "GPT2Tokenizer"},
                                                             {"t5", "T5Tokenizer"},
                                                             {"whisper", "WhisperTokenizer"},
                                                             {"xlm-roberta", "XLMRobertaTokenizer"},
                                                             {"xmod", "XLMRobertaTokenizer"}};
  const auto found = classes.find(model_type);
  return found == classes.end() ? "" : found->second;
}

std::vector<NamedToken> default_special_tokens(const std::string& tokenizer_class) {
  const TokenizerClass* found = find_class(tokenizer_class);
  return found == nullptr ? std::vector<NamedToken>() : found->tokens;
}

void apply_class_rules(const TokenizerConfig& config, ModelType model, bool byte_level,
                       TokenizerSections& sections) {
  const TokenizerClass* found = find_class(config.tokenizer_class);
  if (found == nullptr || found->model != model) return;
  if (byte_level && found->build == build_llama) return;
  found->build(config, sections);
}

json class_post_processor(const TokenizerConfig& config, const FindToken& find) {
  const std::string& name = config.tokenizer_class;
  json special_tokens = json::object();
  bool complete = true;
  const auto special = [&](const std::string& text, int type_id) -> json {
    const auto id = find(text);
    complete &= id.has_value();
    special_tokens[text] = {{"id", text}, {"ids", {id.value_or(0)}}, {"tokens", {text}}};
    return {{"SpecialToken", {{"id", text}, {"type_id", type_id}}}};
  };
  const auto text = [](const char* which, int type_id) -> json {
    return {{"Sequence", {{"id", which}, {"type_id", type_id}}}};
  };
  json single, pair;
  if (name == "BertTokenizer" || name == "AlbertTokenizer") {
    const std::string& cls = config.token("cls_token");
    const std::string& sep = config.token("sep_token");
    single = {special(cls, 0), text("A", 0), special(sep, 0)};
    pair = {special(cls, 0), text("A", 0), special(sep, 0), text("B", 1), special(sep, 1)};
  } else if (name == "T5Tokenizer") {
    single = {text("A", 0), special("</s>", 0)};
    pair = {text("A", 0), special("</s>", 0), text("B", 0), special("</s>", 0)};
  } else if (name == "XLMRobertaTokenizer") {
    const std::string& bos = config.token("bos_token");
    const std::string& eos = config.token("eos_token");
    single = {special(bos, 0), text("A", 0), special(eos, 0)};
    pair = {special(bos, 0), text("A", 0), special(eos, 0),
            special(eos, 0), text("B", 0), special(eos, 0)};
  } else if (name == "RobertaTokenizer" || name == "CLIPTokenizer") {
    const bool clip = name == "CLIPTokenizer";
    const std::string& cls = config.token(clip ? "bos_token" : "cls_token");
    const std::string& sep = config.token(clip ? "eos_token" : "sep_token");
    const auto cls_id = find(cls), sep_id = find(sep);
    if (!cls_id.has_value() || !sep_id.has_value()) return nullptr;
    return {{"type", "RobertaProcessing"},
            {"sep", {sep, *sep_id}},
            {"cls", {cls, *cls_id}},
            {"trim_offsets", !clip},
            {"add_prefix_space", false}};
  } else {
    return nullptr;
  }
  if (!complete) return nullptr;
  return {{"type", "TemplateProcessing"},
          {"single", std::move(single)},
          {"pair", std::move(pair)},
          {"special_tokens", std::move(special_tokens)}};
}

}  // namespace nibble
