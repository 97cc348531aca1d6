// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/tokenizer_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/base/mapped_file.h"
#include "nibble/text/tokenizer_class.h"

namespace nibble {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr std::array<const char*, 7> kTokenNames = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

std::string read_text_file(const fs::path& path) {
  const auto file = MappedFile::open(path);
  return {reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()};
}

json parse_object(std::string_view text, const std::string& source) {
  json out = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!out.is_object()) throw Error("the file is no JSON object").file(source);
  return out;
}

bool present(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && !found->is_null();
}

std::optional<bool> read_flag(const json& object, const char* key, const std::string& source) {
  if (!present(object, key)) return std::nullopt;
  if (!object[key].is_boolean()) {
    throw Error(fmt::format("\"{}\" is not true or false", key)).file(source);
  }
  return object[key].get<bool>();
}

// A special token by its text alone or as an object with flags.
AddedToken read_special(const json& value, const std::string& source) {
  AddedToken token;
  if (value.is_string()) {
    token.content = value.get<std::string>();
    token.normalized = false;
  } else {
    token = read_added_token(value, source);
  }
  token.special = true;
  return token;
}

bool is_token_name(const std::string& name) {
  return std::ranges::find(kTokenNames, name) != kTokenNames.end();
}

// An AddedToken as transformers writes it; other objects it takes for something else.
bool is_marked_token(const json& value) {
  return value.is_object() && value.contains("__type") && value["__type"] == "AddedToken";
}

// Names that are not known yet; an explicit null says that there is no such token.
void read_special_tokens(const json& object, const std::string& source, TokenizerConfig& config) {
  for (const char* name : kTokenNames) {
    if (present(object, name)) {
      config.special_tokens.try_emplace(name, read_special(object[name], source));
    }
  }
  // transformers keeps every other text that is called a token, e.g. "image_token".
  for (const auto& [name, value] : object.items()) {
    const bool is_token = value.is_string() || is_marked_token(value);
    if (!name.ends_with("_token") || !is_token || is_token_name(name)) continue;
    const AddedToken token = read_special(value, source);
    if (config.special_tokens.try_emplace(name, token).second) {
      config.extra_special_tokens.push_back(token);
    }
  }
  for (const char* name : {"additional_special_tokens", "extra_special_tokens"}) {
    if (!present(object, name)) continue;
    if (!object[name].is_array() && !object[name].is_object()) {
      throw Error(fmt::format("\"{}\" is neither a list nor an object", name)).file(source);
    }
    for (const auto& [key, value] : object[name].items()) {
      const AddedToken token = read_special(value, source);
      config.extra_special_tokens.push_back(token);
      if (object[name].is_object()) config.special_tokens.insert_or_assign(key, token);
    }
  }
}

// What transformers' classes assume when the files do not say.
void fill_class_defaults(const json& object, TokenizerConfig& config) {
  for (const auto& [name, text, lstrip] : default_special_tokens(config.tokenizer_class)) {
    if (object.contains(name)) {
      // Text alone has the flags that the class gives.
      if (lstrip && object[name].is_string()) config.special_tokens[name].lstrip = true;
      continue;
    }
    config.special_tokens.try_emplace(
        name, AddedToken{.content = text, .lstrip = lstrip, .normalized = false, .special = true});
  }
}

void read_chat_templates(const json& object, const std::string& source, TokenizerConfig& config) {
  if (!present(object, "chat_template")) return;
  const json& value = object["chat_template"];
  if (value.is_string()) {
    config.chat_templates["default"] = value.get<std::string>();
    return;
  }
  const auto is_named = [](const json& one) {
    return one.is_object() && one.contains("name") && one["name"].is_string() &&
           one.contains("template") && one["template"].is_string();
  };
  if (!value.is_array() || !std::all_of(value.begin(), value.end(), is_named)) {
    throw Error("\"chat_template\" is malformed")
        .file(source)
        .expected("a string or a list of {\"name\", \"template\"}");
  }
  for (const json& one : value) {
    config.chat_templates[one["name"].get<std::string>()] = one["template"].get<std::string>();
  }
}

void read_added_tokens_decoder(const json& object, const std::string& source,
                               TokenizerConfig& config) {
  if (!present(object, "added_tokens_decoder")) return;
  const json& table = object["added_tokens_decoder"];
  if (!table.is_object()) throw Error("\"added_tokens_decoder\" is no object").file(source);
  for (const auto& [key, value] : table.items()) {
    int32_t id = -1;
    const auto [end, failure] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (failure != std::errc() || end != key.data() + key.size() || id < 0) {
      throw Error("\"added_tokens_decoder\" has a key that is no token id").file(source).got(key);
    }
    config.added_tokens_decoder[id] = read_added_token(value, source);
  }
}

TokenizerConfig parse_config(const json& object, const std::string& source) {
  TokenizerConfig config;
  if (present(object, "tokenizer_class") && object["tokenizer_class"].is_string()) {
    config.tokenizer_class = object["tokenizer_class"].get<std::string>();
    if (config.tokenizer_class.ends_with("TokenizerFast")) {
      config.tokenizer_class.resize(config.tokenizer_class.size() - 4);
    }
  }
  read_special_tokens(object, source, config);
  read_added_tokens_decoder(object, source, config);
  config.add_bos_token = read_flag(object, "add_bos_token", source);
  config.add_eos_token = read_flag(object, "add_eos_token", source);
  config.add_prefix_space = read_flag(object, "add_prefix_space", source);
  config.legacy = read_flag(object, "legacy", source).value_or(false);
  read_chat_templates(object, source, config);
  config.options = object;
  return config;
}

// generation_config.json names ids where no file names the tokens.
void read_generation_ids(const fs::path& path, TokenizerConfig& config) {
  const json object = parse_object(read_text_file(path), path.string());
  for (const char* name : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
    if (!present(object, name)) continue;
    const json& value = object[name];
    const json& first = value.is_array() && !value.empty() ? value[0] : value;
    if (first.is_number_unsigned() && first.get<uint64_t>() <= INT32_MAX) {
      config.generation_ids[name] = first.get<int32_t>();
    }
  }
}

// Template files, where there are any, replace those of tokenizer_config.json.
void read_template_files(const fs::path& folder, TokenizerConfig& config) {
  decltype(config.chat_templates) found;
  if (fs::exists(folder / "chat_template.jinja")) {
    found["default"] = read_text_file(folder / "chat_template.jinja");
  }
  const fs::path more = folder / "additional_chat_templates";
  if (fs::is_directory(more)) {
    for (const auto& entry : fs::directory_iterator(more)) {
      if (entry.path().extension() != ".jinja") continue;
      found[entry.path().stem().string()] = read_text_file(entry.path());
    }
  }
  if (!found.empty()) config.chat_templates = std::move(found);
}

}  // namespace

const std::string& TokenizerConfig::token(const std::string& name) const {
  static const std::string kNone;
  const auto found = special_tokens.find(name);
  return found == special_tokens.end() ? kNone : found->second.content;
}

AddedToken read_added_token(const json& object, const std::string& source) {
  if (!object.is_object() || !object.contains("content") || !object["content"].is_string()) {
    throw Error("an added token is malformed")
        .file(source)
        .expected("an object with a string \"content\"");
  }
  const bool special = read_flag(object, "special", source).value_or(false);
  return {.content = object["content"].get<std::string>(),
          .single_word = read_flag(object, "single_word", source).value_or(false),
          .lstrip = read_flag(object, "lstrip", source).value_or(false),
          .rstrip = read_flag(object, "rstrip", source).value_or(false),
          .normalized = read_flag(object, "normalized", source).value_or(!special),
          .special = special};
}

TokenizerConfig parse_tokenizer_config(std::string_view text, const std::string& source) {
  const json object = parse_object(text, source);
  TokenizerConfig config = parse_config(object, source);
  fill_class_defaults(object, config);
  return config;
}

TokenizerConfig read_tokenizer_config(const fs::path& folder) {
  json object = json::object();
  TokenizerConfig config;
  if (const fs::path path = folder / "tokenizer_config.json"; fs::exists(path)) {
    object = parse_object(read_text_file(path), path.string());
    config = parse_config(object, path.string());
  }
  if (const fs::path path = folder / "config.json";
      config.tokenizer_class.empty() && fs::exists(path)) {
    const json model = parse_object(read_text_file(path), path.string());
    if (present(model, "model_type") && model["model_type"].is_string()) {
      config.tokenizer_class = class_of_model_type(model["model_type"].get<std::string>());
    }
  }
  if (const fs::path path = folder / "special_tokens_map.json"; fs::exists(path)) {
    read_special_tokens(parse_object(read_text_file(path), path.string()), path.string(), config);
  }
  fill_class_defaults(object, config);
  if (const fs::path path = folder / "generation_config.json"; fs::exists(path)) {
    read_generation_ids(path, config);
  }
  read_template_files(folder, config);
  return config;
}

}  // namespace nibble
