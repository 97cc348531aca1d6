// SPDX-License-Identifier: Apache-2.0
//
// Building a Tokenizer from its files.
#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/base/mapped_file.h"
#include "nibble/base/utf8.h"
#include "nibble/text/cut_plan.h"
#include "nibble/text/encoding_json.h"
#include "nibble/text/model_json.h"
#include "nibble/text/tokenizer_class.h"
#include "nibble/text/tokenizer_folder.h"
#include "nibble/text/tokenizer_parts.h"

namespace nibble {
namespace {

namespace dom = simdjson::dom;
namespace fs = std::filesystem;

// The small parts of the file go through nlohmann's values, which are easier to rebuild; only the
// model is large.
nlohmann::json section(dom::object root, const char* key) {
  dom::element element;
  if (root.at_key(key).get(element) != simdjson::SUCCESS) return nullptr;
  return nlohmann::json::parse(simdjson::minify(element), nullptr, /*allow_exceptions=*/false);
}

dom::object model_object(dom::object root, const std::string& source) {
  dom::object object;
  if (root.at_key("model").get(object) != simdjson::SUCCESS) {
    throw Error("tokenizer.json lacks its \"model\"").file(source);
  }
  return object;
}

// Gives tokens their ids as the library does: the id that the text has already, else the next one
// behind the vocabulary. Ids that the file itself states are not used.
class TokenAdder {
 public:
  explicit TokenAdder(Tokenizer::Parts& parts) : parts_(parts) {
    next_ = static_cast<int32_t>(parts.model->token_count());
  }

  void add(const AddedToken& token) {
    if (token.content.empty()) return;
    const std::optional<int32_t> known = parts_.find(token.content);
    if (known.has_value()) {
      parts_.added.add(token, *known);
      return;
    }
    next_ = std::max(next_, parts_.added.max_id() + 1);
    parts_.added.add(token, next_);
  }

  // Adds a named special token unless it is an added token already.
  void add_if_new(const AddedToken& token) {
    int32_t id = -1;
    if (parts_.added.find(token.content, id) == nullptr) add(token);
  }

 private:
  Tokenizer::Parts& parts_;
  int32_t next_;
};

void add_tokens(dom::object root, const TokenizerConfig& config, const std::string& source,
                Tokenizer::Parts& parts) {
  const nlohmann::json list = section(root, "added_tokens");
  if (!list.is_null() && !list.is_array()) {
    throw Error("\"added_tokens\" is no list").file(source);
  }
  TokenAdder from_file(parts);
  for (const auto& object : list) from_file.add(read_added_token(object, source));
  TokenAdder from_config(parts);
  for (const auto& [id, token] : config.added_tokens_decoder) {
    int32_t known = -1;
    const AddedToken* same = parts.added.find(token.content, known);
    if (same == nullptr || *same != token) from_config.add(token);
  }
  for (const char* name : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                           "cls_token", "mask_token"}) {
    const auto found = config.special_tokens.find(name);
    if (found != config.special_tokens.end()) from_config.add_if_new(found->second);
  }
  for (const AddedToken& token : config.extra_special_tokens) from_config.add_if_new(token);
  parts.added.prepare(parts.normalizer.get());
}

// Where only generation_config.json knows the ids, they name the tokens.
void name_tokens_by_generation_ids(Tokenizer::Parts& parts) {
  for (const char* name : {"bos_token", "eos_token", "pad_token"}) {
    const auto id = parts.config.generation_ids.find(std::string(name) + "_id");
    if (id == parts.config.generation_ids.end()) continue;
    const AddedToken* added = parts.added.find(id->second);
    const auto plain = parts.model->vocabulary().token(id->second);
    if (added == nullptr && !plain.has_value()) continue;
    parts.config.special_tokens.try_emplace(
        name, added != nullptr ? *added : AddedToken{.content = std::string(*plain)});
  }
}

// Where the configuration says whether BOS and EOS are added, it alone decides.
PostProcessor make_post_processor(const TokenizerSections& sections, const Tokenizer::Parts& parts,
                                  const std::string& source) {
  using nlohmann::json;
  const TokenizerConfig& config = parts.config;
  const json by_class =
      class_post_processor(config, [&](std::string_view token) { return parts.find(token); });
  // Two give way: Albert's to what the files say, RemBert's unless it is in tokenizer.json.
  const bool asked = config.add_bos_token.has_value() || config.add_eos_token.has_value();
  const bool has_own = !sections.post_processor.is_null();
  const bool gives_way = (config.tokenizer_class == "AlbertTokenizer" && (asked || has_own)) ||
                         (config.tokenizer_class == "RemBertTokenizer" && (asked || !has_own));
  if (!by_class.is_null() && !gives_way) return {by_class, source};
  if (!config.add_bos_token.has_value() && !config.add_eos_token.has_value()) {
    if (sections.post_processor.is_null()) return {};
    return {sections.post_processor, source};
  }
  json special_tokens = json::object();
  const auto special = [&](std::optional<bool> wanted, const char* name, int type_id) {
    json out = json::array();
    const std::string& token = config.token(name);
    const auto id = parts.find(token);
    if (wanted.value_or(false) && !token.empty() && id.has_value()) {
      special_tokens[token] = {{"id", token}, {"ids", {*id}}, {"tokens", {token}}};
      out.push_back({{"SpecialToken", {{"id", token}, {"type_id", type_id}}}});
    }
    return out;
  };
  json single = json::array(), pair = json::array();
  for (const int type_id : {0, 1}) {
    const json text = {{"Sequence", {{"id", type_id == 0 ? "A" : "B"}, {"type_id", type_id}}}};
    const json bos = special(config.add_bos_token, "bos_token", type_id);
    const json eos = special(config.add_eos_token, "eos_token", type_id);
    for (json* side : {&single, &pair}) {
      if (side == &single && type_id == 1) continue;
      side->insert(side->end(), bos.begin(), bos.end());
      side->push_back(text);
      side->insert(side->end(), eos.begin(), eos.end());
    }
  }
  return {{{"type", "TemplateProcessing"},
           {"single", single},
           {"pair", pair},
           {"special_tokens", special_tokens}},
          source};
}

std::unique_ptr<Tokenizer::Parts> build(std::string_view text, const std::string& source,
                                        TokenizerConfig config) {
  dom::parser parser;
  dom::element document;
  const simdjson::error_code failure = parser.parse(text.data(), text.size()).get(document);
  if (failure != simdjson::SUCCESS) {
    throw Error(
        fmt::format("tokenizer.json is no valid JSON: {}", simdjson::error_message(failure)))
        .file(source);
  }
  dom::object root;
  if (document.get(root) != simdjson::SUCCESS) {
    throw Error("tokenizer.json is no JSON object").file(source);
  }
  auto parts = std::make_unique<Tokenizer::Parts>();
  parts->config = std::move(config);
  TokenizerSections sections{section(root, "normalizer"), section(root, "pre_tokenizer"),
                             section(root, "post_processor"), section(root, "decoder")};
  const dom::object model = model_object(root, source);
  parts->model = read_model(model, source);
  const std::string spelled = sections.pre_tokenizer.dump() + sections.decoder.dump();
  apply_class_rules(parts->config, find_model_type(model, source),
                    spelled.find("\"ByteLevel\"") != std::string::npos, sections);
  if (!sections.normalizer.is_null()) {
    parts->normalizer = make_normalizer(sections.normalizer, source);
  }
  auto plan = plan_cuts(sections.pre_tokenizer, source);
  if (plan.has_value() && (!plan->byte_level || parts->model->spell_bytes())) {
    parts->scanner = std::move(plan->scanner);
  } else {
    parts->pre_tokenizer = make_pre_tokenizer(sections.pre_tokenizer, source);
  }
  parts->decoder =
      sections.decoder.is_null() ? make_joining_decoder() : make_decoder(sections.decoder, source);
  add_tokens(root, parts->config, source, *parts);
  name_tokens_by_generation_ids(*parts);
  parts->post_processor = make_post_processor(sections, *parts, source);
  parts->truncation = read_truncation(section(root, "truncation"), source);
  parts->padding = read_padding(section(root, "padding"), source);
  return parts;
}

}  // namespace

std::shared_ptr<const Tokenizer> Tokenizer::load(const fs::path& folder) {
  TokenizerConfig config = read_tokenizer_config(folder);
  const fs::path path = folder / "tokenizer.json";
  if (!fs::exists(path)) {
    const FolderTokenizer made = tokenizer_of_folder(folder, config);
    return std::make_shared<const Tokenizer>(
        build(made.tokenizer_json, made.source, std::move(config)));
  }
  const auto file = MappedFile::open(path);
  const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()),
                              file->bytes().size());
  return std::make_shared<const Tokenizer>(build(text, path.string(), std::move(config)));
}

std::shared_ptr<const Tokenizer> Tokenizer::from_json(std::string_view tokenizer_json,
                                                      std::string_view source_name,
                                                      std::string_view tokenizer_config_json) {
  const std::string source(source_name);
  TokenizerConfig config;
  if (!tokenizer_config_json.empty()) {
    config = parse_tokenizer_config(tokenizer_config_json, source);
  }
  return std::make_shared<const Tokenizer>(build(tokenizer_json, source, std::move(config)));
}

}  // namespace nibble
