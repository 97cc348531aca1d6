// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/sentencepiece_classes.h"

#include <map>
#include <set>
#include <utility>

#include "nibble/text/section_parts.h"

namespace nibble {
namespace {

using nlohmann::json;
using sections::named;
using sections::option;
using sections::replace;
using sections::sequence;
using sections::split;

constexpr const char* kMark = "\u2581";

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

void add_charsmap(const json& normalizer, json& steps) {
  if (json charsmap = find_charsmap(normalizer); !charsmap.is_null()) {
    steps.push_back(std::move(charsmap));
  }
}

const char* scheme_of(const TokenizerConfig& config) {
  return config.add_prefix_space.value_or(true) ? "always" : "never";
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
  build_words_and_metaspace(scheme_of(config), out);
}

void build_albert(const TokenizerConfig& config, TokenizerSections& out) {
  json steps = {replace("String", "``", "\""), replace("String", "''", "\"")};
  if (!option(config, "keep_accents", false)) {
    steps.push_back(named("NFKD"));
    steps.push_back(named("StripAccents"));
  }
  if (option(config, "do_lower_case", true)) steps.push_back(named("Lowercase"));
  add_charsmap(out.normalizer, steps);
  out.normalizer = sequence("normalizers", std::move(steps));
  build_words_and_metaspace(scheme_of(config), out);
}

void build_siglip2(const TokenizerConfig& config, TokenizerSections& out) {
  build_gemma(config, out);
  out.normalizer = sequence("normalizers", {named("Lowercase"), out.normalizer});
}

// A Metaspace over the whole text, behind these steps.
void build_metaspace(const char* scheme, json steps, TokenizerSections& out) {
  out.normalizer = sequence("normalizers", std::move(steps));
  out.pre_tokenizer = metaspace(scheme, true);
  out.decoder = metaspace(scheme, true);
}

json one_space() { return replace("Regex", " {2,}", " "); }
json strip(bool left, bool right) {
  return {{"type", "Strip"}, {"strip_left", left}, {"strip_right", right}};
}

void build_udop(const TokenizerConfig&, TokenizerSections& out) {
  out.normalizer = nullptr;
  build_words_and_metaspace("always", out);
}

void build_rembert(const TokenizerConfig& config, TokenizerSections& out) {
  json steps = {replace("String", "``", "\""), replace("String", "''", "\""), one_space()};
  if (!option(config, "keep_accents", true)) {
    steps.push_back(named("NFKD"));
    steps.push_back(named("StripAccents"));
  }
  if (option(config, "do_lower_case", false)) steps.push_back(named("Lowercase"));
  add_charsmap(out.normalizer, steps);
  build_metaspace(scheme_of(config), std::move(steps), out);
}

void build_xglm(const TokenizerConfig& config, TokenizerSections& out) {
  json steps = json::array();
  add_charsmap(out.normalizer, steps);
  steps.push_back(one_space());
  build_metaspace(scheme_of(config), std::move(steps), out);
}

void build_pegasus(const TokenizerConfig&, TokenizerSections& out) {
  json steps = json::array();
  add_charsmap(out.normalizer, steps);
  if (steps.empty()) steps.push_back(replace("Regex", "\\n", " "));
  steps.push_back(one_space());
  build_metaspace("always", std::move(steps), out);
}

void build_reformer(const TokenizerConfig&, TokenizerSections& out) {
  json steps = json::array();
  add_charsmap(out.normalizer, steps);
  const bool mapped = !steps.empty();
  steps.push_back(one_space());
  build_metaspace("always", std::move(steps), out);
  if (!mapped) out.normalizer = nullptr;
}

void build_big_bird(const TokenizerConfig& config, TokenizerSections& out) {
  build_metaspace(scheme_of(config), {strip(false, false), replace("Regex", " {2,}", kMark)}, out);
}

// Barthez' and, behind its own lowering, DeBERTa's.
json composed() {
  return {replace("Regex", "\\s{2,}|[\\n\\r\\t]", " "), named("NFC"), strip(false, true)};
}

void build_barthez(const TokenizerConfig& config, TokenizerSections& out) {
  build_metaspace(scheme_of(config), composed(), out);
}

void build_deberta_v2(const TokenizerConfig& config, TokenizerSections& out) {
  json steps = composed();
  if (option(config, "do_lower_case", false)) steps.insert(steps.begin(), named("Lowercase"));
  const char* scheme = config.add_prefix_space.value_or(true) ? "always" : "first";
  build_metaspace(scheme, std::move(steps), out);
  json cuts = json::array();
  if (option(config, "split_by_punct", false)) {
    cuts.push_back({{"type", "Punctuation"}, {"behavior", "Isolated"}});
  }
  cuts.push_back(metaspace(scheme, true));
  out.pre_tokenizer = sequence("pretokenizers", std::move(cuts));
}

void build_xlnet(const TokenizerConfig& config, TokenizerSections& out) {
  json steps = {replace("String", "``", "\""), replace("String", "''", "\""), named("NFKD"),
                named("StripAccents")};
  if (option(config, "do_lower_case", false)) steps.push_back(named("Lowercase"));
  add_charsmap(out.normalizer, steps);
  out.normalizer = sequence("normalizers", std::move(steps));
  build_words_and_metaspace("always", out);
}

// cls ... sep, as BERT has them.
constexpr const char* kBertSingle = "cls A sep";
constexpr const char* kBertPair = "cls A sep B:1 sep:1";
constexpr const char* kFairseqSingle = "bos A eos";
constexpr const char* kFairseqPair = "bos A eos eos B eos";

std::vector<NamedToken> fairseq_tokens(bool mask_takes_spaces) {
  return {{"bos_token", "<s>"},
          {"eos_token", "</s>"},
          {"sep_token", "</s>"},
          {"cls_token", "<s>"},
          {"unk_token", "<unk>"},
          {"pad_token", "<pad>"},
          {"mask_token", "<mask>", mask_takes_spaces}};
}

std::vector<NamedToken> albert_tokens() {
  return {{"bos_token", "[CLS]"},  {"eos_token", "[SEP]"}, {"unk_token", "<unk>"},
          {"sep_token", "[SEP]"},  {"pad_token", "<pad>"}, {"cls_token", "[CLS]"},
          {"mask_token", "[MASK]"}};
}

std::vector<NamedToken> gemma_tokens() {
  return {{"unk_token", "<unk>"},
          {"bos_token", "<bos>"},
          {"eos_token", "<eos>"},
          {"pad_token", "<pad>"},
          {"mask_token", "<mask>"}};
}

using Classes = std::map<std::string, TokenizerClass>;

Classes make_classes() {
  const auto bpe = ModelType::kBpe, unigram = ModelType::kUnigram;
  const std::vector<NamedToken> llama = {
      {"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}};
  std::vector<NamedToken> xglm = fairseq_tokens(false);
  xglm.pop_back();  // its mask
  return {
      {"LlamaTokenizer", {bpe, build_llama, llama}},
      {"Phi3Tokenizer", {bpe, build_llama, llama}},
      {"GemmaTokenizer", {bpe, build_gemma, gemma_tokens()}},
      {"Siglip2Tokenizer", {bpe, build_siglip2, gemma_tokens()}},
      {"ReformerTokenizer", {bpe, build_reformer, {{"eos_token", "</s>"}, {"unk_token", "<unk>"}}}},
      {"T5Tokenizer",
       {unigram,
        build_t5,
        {{"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"pad_token", "<pad>"}},
        "A </s>",
        "A </s> B </s>"}},
      {"UdopTokenizer",
       {unigram,
        build_udop,
        {{"eos_token", "</s>"},
         {"unk_token", "<unk>"},
         {"sep_token", "</s>"},
         {"pad_token", "<pad>"}},
        "A </s>",
        "A </s> B </s>"}},
      {"PegasusTokenizer",
       {unigram,
        build_pegasus,
        {{"eos_token", "</s>"},
         {"unk_token", "<unk>"},
         {"pad_token", "<pad>"},
         {"mask_token", "<mask_2>"}},
        "A eos",
        "A B eos"}},
      {"AlbertTokenizer", {unigram, build_albert, albert_tokens(), kBertSingle, kBertPair}},
      {"RemBertTokenizer", {unigram, build_rembert, albert_tokens(), kBertSingle, kBertPair}},
      {"BigBirdTokenizer",
       {unigram,
        build_big_bird,
        {{"bos_token", "<s>"},
         {"eos_token", "</s>"},
         {"unk_token", "<unk>"},
         {"sep_token", "[SEP]"},
         {"pad_token", "<pad>"},
         {"cls_token", "[CLS]"},
         {"mask_token", "[MASK]", true}},
        kBertSingle,
        kBertPair}},
      {"DebertaV2Tokenizer",
       {unigram,
        build_deberta_v2,
        {{"bos_token", "[CLS]"},
         {"eos_token", "[SEP]"},
         {"unk_token", "[UNK]"},
         {"sep_token", "[SEP]"},
         {"pad_token", "[PAD]"},
         {"cls_token", "[CLS]"},
         {"mask_token", "[MASK]"}},
        kBertSingle,
        kBertPair}},
      {"XLNetTokenizer",
       {unigram,
        build_xlnet,
        {{"bos_token", "<s>"},
         {"eos_token", "</s>"},
         {"unk_token", "<unk>"},
         {"sep_token", "<sep>"},
         {"pad_token", "<pad>"},
         {"cls_token", "<cls>"},
         {"mask_token", "<mask>", true}},
        "A sep cls:2",
        "A sep B:1 sep:1 cls:2"}},
      {"XLMRobertaTokenizer",
       {unigram, build_xlm_roberta, fairseq_tokens(false), kFairseqSingle, kFairseqPair}},
      {"CamembertTokenizer",
       {unigram, build_xlm_roberta, fairseq_tokens(true), kFairseqSingle, kFairseqPair}},
      {"BarthezTokenizer", {unigram, build_barthez, fairseq_tokens(true)}},
      {"XGLMTokenizer", {unigram, build_xglm, xglm, "eos A", "eos A eos eos B"}},
  };
}

}  // namespace

bool has_rules_of_its_own(const std::string& name) {
  static const std::set<std::string> classes = {
      "BartphoTokenizer",     "BertGenerationTokenizer", "CodeLlamaTokenizer",   "CpmTokenizer",
      "GPTSw3Tokenizer",      "LayoutXLMTokenizer",      "LukeTokenizer",        "M2M100Tokenizer",
      "MBart50Tokenizer",     "MBartTokenizer",          "MLukeTokenizer",       "MarianTokenizer",
      "NllbTokenizer",        "PLBartTokenizer",         "SeamlessM4TTokenizer", "SiglipTokenizer",
      "Speech2TextTokenizer", "SpeechT5Tokenizer"};
  return classes.contains(name);
}

const TokenizerClass* find_sentencepiece_class(const std::string& name) {
  static const Classes classes = make_classes();
  const auto found = classes.find(name);
  return found == classes.end() ? nullptr : &found->second;
}

}  // namespace nibble
