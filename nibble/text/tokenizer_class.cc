// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/tokenizer_class.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "nibble/text/section_parts.h"
#include "nibble/text/sentencepiece_classes.h"

namespace nibble {
namespace {

using nlohmann::json;
using sections::kQwen2Pattern;
using sections::option;
using sections::replace;
using sections::sequence;
using sections::split;

constexpr const char* kClipPattern =
    R"(<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)";

json byte_level(bool add_prefix_space, bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", add_prefix_space},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
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

const TokenizerClass* find_class(const std::string& name) {
  if (const TokenizerClass* out = find_sentencepiece_class(name)) return out;
  static constexpr const char* kText = "<|endoftext|>";
  static const std::map<std::string, TokenizerClass> classes = {
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
         {"mask_token", "[MASK]"}},
        "cls A sep",
        "cls A sep B:1 sep:1"}},
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
                                                             {"barthez", "BarthezTokenizer"},
                                                             {"big_bird", "BigBirdTokenizer"},
                                                             {"camembert", "CamembertTokenizer"},
                                                             {"deberta-v2", "DebertaV2Tokenizer"},
                                                             {"gemma3n", "GemmaTokenizer"},
                                                             {"gemma3n_text", "GemmaTokenizer"},
                                                             {"pegasus", "PegasusTokenizer"},
                                                             {"recurrent_gemma", "GemmaTokenizer"},
                                                             {"reformer", "ReformerTokenizer"},
                                                             {"rembert", "RemBertTokenizer"},
                                                             {"siglip2", "Siglip2Tokenizer"},
                                                             {"udop", "UdopTokenizer"},
                                                             {"xglm", "XGLMTokenizer"},
                                                             {"xlnet", "XLNetTokenizer"},
                                                             {"xmod", "XLMRobertaTokenizer"}};
  const auto found = classes.find(model_type);
  return found == classes.end() ? "" : found->second;
}

std::vector<NamedToken> default_special_tokens(const std::string& tokenizer_class) {
  const TokenizerClass* found = find_class(tokenizer_class);
  return found == nullptr ? std::vector<NamedToken>() : found->tokens;
}

bool is_bpe_class(const std::string& tokenizer_class) {
  const TokenizerClass* found = find_class(tokenizer_class);
  return found != nullptr && found->model == ModelType::kBpe;
}

void apply_class_rules(const TokenizerConfig& config, ModelType model, bool byte_level,
                       TokenizerSections& sections) {
  const TokenizerClass* found = find_class(config.tokenizer_class);
  if (found == nullptr || found->model != model) return;
  if (byte_level &&
      (config.tokenizer_class == "LlamaTokenizer" || config.tokenizer_class == "Phi3Tokenizer")) {
    return;
  }
  found->build(config, sections);
}

json class_post_processor(const TokenizerConfig& config, const FindToken& find) {
  const std::string& name = config.tokenizer_class;
  if (name == "RobertaTokenizer" || name == "CLIPTokenizer") {
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
  }
  const TokenizerClass* found = find_class(name);
  if (found == nullptr || found->single == nullptr) return nullptr;
  json special_tokens = json::object();
  bool complete = true;
  const auto spell = [&](std::string_view spec) {
    json out = json::array();
    while (!spec.empty()) {
      std::string_view word = spec.substr(0, spec.find(' '));
      spec.remove_prefix(std::min(spec.size(), word.size() + 1));
      int type_id = 0;
      if (const size_t colon = word.find(':'); colon != std::string_view::npos) {
        type_id = word[colon + 1] - '0';
        word = word.substr(0, colon);
      }
      if (word == "A" || word == "B") {
        out.push_back({{"Sequence", {{"id", word}, {"type_id", type_id}}}});
        continue;
      }
      const std::string text =
          word.front() == '<' ? std::string(word) : config.token(std::string(word) + "_token");
      const auto id = find(text);
      complete &= id.has_value();
      special_tokens[text] = {{"id", text}, {"ids", {id.value_or(0)}}, {"tokens", {text}}};
      out.push_back({{"SpecialToken", {{"id", text}, {"type_id", type_id}}}});
    }
    return out;
  };
  json single = spell(found->single), pair = spell(found->pair);
  if (!complete) return nullptr;
  return {{"type", "TemplateProcessing"},
          {"single", std::move(single)},
          {"pair", std::move(pair)},
          {"special_tokens", std::move(special_tokens)}};
}

}  // namespace nibble
