// SPDX-License-Identifier: Apache-2.0
#include "nibble/generate/generation_config.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "nibble/base/error.h"
#include "nibble/io/json_file.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

// Fields that change what is generated and that are not implemented, with the value that asks for
// nothing.
struct Unsupported {
  const char* key;
  double neutral;
};
constexpr Unsupported kUnsupported[] = {
    {"num_beams", 1},
    {"num_return_sequences", 1},
    {"typical_p", 1},
    {"epsilon_cutoff", 0},
    {"eta_cutoff", 0},
    {"penalty_alpha", 0},
    {"min_length", 0},
    {"min_new_tokens", 0},
    {"encoder_repetition_penalty", 1},
    {"encoder_no_repeat_ngram_size", 0},
    {"guidance_scale", 1},
    {"diversity_penalty", 0},
    {"num_beam_groups", 1},
};
constexpr const char* kUnsupportedObjects[] = {
    "bad_words_ids",      "sequence_bias",         "suppress_tokens",
    "force_words_ids",    "begin_suppress_tokens", "forced_bos_token_id",
    "constraints",        "forced_eos_token_id",   "exponential_decay_length_penalty",
    "watermarking_config"};

// Reads one typed field at a time, naming file and key when it is something else.
class Fields {
 public:
  Fields(const Json& object, const std::string& file) : object_(object), file_(file) {
    if (!object.is_object()) {
      throw Error("not a generation config")
          .file(file)
          .expected("a JSON object")
          .got(object.type_name());
    }
  }

  const Json* find(const char* key) const {
    const auto it = object_.find(key);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }

  [[noreturn]] void fail(const char* key, const char* expected, const Json& got) const {
    throw Error(fmt::format("bad value of '{}'", key))
        .file(file_)
        .expected(expected)
        .got(got.dump(-1, ' ', true, Json::error_handler_t::replace));
  }

  template <typename Target>
  void read_integer(const char* key, Target& target) const {
    if (const Json* value = find(key)) {
      if (!value->is_number_integer()) fail(key, "an integer", *value);
      target = as_integer<int64_t>(key, *value);
    }
  }

  void read_id(const char* key, std::optional<int32_t>& target) const {
    const Json* value = find(key);
    if (value && value->is_array() && !value->empty()) value = &value->front();
    if (value) target = as_integer<int32_t>(key, *value);
  }

  void read_ids(const char* key, std::vector<int32_t>& target) const {
    const Json* value = find(key);
    if (!value) return;
    target.clear();
    if (!value->is_array()) {
      target.push_back(as_integer<int32_t>(key, *value));
      return;
    }
    for (const Json& id : *value) target.push_back(as_integer<int32_t>(key, id));
  }

  template <typename Target>
  void read_number(const char* key, Target& target) const {
    if (const Json* value = find(key)) {
      if (!value->is_number()) fail(key, "a number", *value);
      target = value->get<double>();
    }
  }

  void read_bool(const char* key, bool& target) const {
    if (const Json* value = find(key)) {
      if (!value->is_boolean()) fail(key, "true or false", *value);
      target = value->get<bool>();
    }
  }

  void read_strings(const char* key, std::vector<std::string>& target) const {
    const Json* value = find(key);
    if (!value) return;
    target.clear();
    if (value->is_string()) {
      target.push_back(value->get<std::string>());
      return;
    }
    if (!value->is_array()) fail(key, "a string or a list of strings", *value);
    for (const Json& text : *value) {
      if (!text.is_string()) fail(key, "a string or a list of strings", *value);
      target.push_back(text.get<std::string>());
    }
  }

 private:
  template <typename Integer>
  Integer as_integer(const char* key, const Json& value) const {
    constexpr Integer kMax = std::numeric_limits<Integer>::max();
    constexpr Integer kMin = std::numeric_limits<Integer>::min();
    if (value.is_number_unsigned()) {
      const uint64_t number = value.get<uint64_t>();
      if (number <= static_cast<uint64_t>(kMax)) return static_cast<Integer>(number);
    } else if (value.is_number_integer()) {
      const int64_t number = value.get<int64_t>();
      if (number >= kMin && number <= kMax) return static_cast<Integer>(number);
    }
    fail(key, "an integer in range", value);
  }

  const Json& object_;
  const std::string& file_;
};

Error out_of_range(const char* field, const char* expected, double got) {
  return Error(fmt::format("bad value of '{}'", field))
      .expected(expected)
      .got(fmt::format("{}", got));
}

}  // namespace

int64_t GenerationConfig::new_tokens_after(int64_t prompt_tokens) const {
  if (max_new_tokens) return *max_new_tokens;
  if (!max_length) return kDefaultNewTokens;
  if (*max_length <= prompt_tokens) {
    throw Error(fmt::format("the prompt leaves no room for new tokens: it has {} tokens and "
                            "max_length is {}",
                            prompt_tokens, *max_length))
        .hint("set max_new_tokens");
  }
  return *max_length - prompt_tokens;
}

void GenerationConfig::validate() const {
  if (max_new_tokens && *max_new_tokens < 1) {
    throw out_of_range("max_new_tokens", "at least 1", static_cast<double>(*max_new_tokens));
  }
  if (max_length && *max_length < 1) {
    throw out_of_range("max_length", "at least 1", static_cast<double>(*max_length));
  }
  if (!(temperature >= 0.0) || !std::isfinite(temperature)) {
    throw out_of_range("temperature", "0 (greedy) or a positive number", temperature);
  }
  if (top_k < 0) throw out_of_range("top_k", "0 (all) or more", static_cast<double>(top_k));
  if (!(top_p >= 0.0 && top_p <= 1.0)) throw out_of_range("top_p", "a number in [0, 1]", top_p);
  if (min_p && !(*min_p >= 0.0 && *min_p <= 1.0)) {
    throw out_of_range("min_p", "a number in [0, 1]", *min_p);
  }
  if (!(repetition_penalty > 0.0) || !std::isfinite(repetition_penalty)) {
    throw out_of_range("repetition_penalty", "a positive number", repetition_penalty);
  }
  if (no_repeat_ngram_size < 0) {
    throw out_of_range("no_repeat_ngram_size", "0 (off) or more",
                       static_cast<double>(no_repeat_ngram_size));
  }
  for (const std::string& text : stop_strings) {
    if (text.empty()) throw Error("a stop string is empty").expected("some text");
  }
}

void GenerationConfig::merge_json(const Json& object, const std::string& file) {
  const Fields fields(object, file);
  fields.read_integer("max_new_tokens", max_new_tokens);
  fields.read_integer("max_length", max_length);
  fields.read_bool("do_sample", do_sample);
  fields.read_number("temperature", temperature);
  fields.read_integer("top_k", top_k);
  fields.read_number("top_p", top_p);
  fields.read_number("min_p", min_p);
  fields.read_number("repetition_penalty", repetition_penalty);
  fields.read_integer("no_repeat_ngram_size", no_repeat_ngram_size);
  fields.read_ids("eos_token_id", eos_token_id);
  fields.read_id("bos_token_id", bos_token_id);
  fields.read_id("pad_token_id", pad_token_id);
  fields.read_strings("stop_strings", stop_strings);
  fields.read_bool("use_cache", use_cache);
  for (const Unsupported& field : kUnsupported) {
    const Json* value = fields.find(field.key);
    if (value && !(value->is_number() && value->get<double>() == field.neutral)) {
      ignored.emplace_back(field.key);
    }
  }
  for (const char* key : kUnsupportedObjects) {
    const Json* value = fields.find(key);
    if (value && !value->empty()) ignored.emplace_back(key);
  }
  try {
    validate();
  } catch (Error& error) {
    throw error.file(file);
  }
}

GenerationConfig GenerationConfig::load(const std::filesystem::path& folder) {
  GenerationConfig config;
  const std::filesystem::path own = folder / "generation_config.json";
  const std::filesystem::path model = folder / "config.json";
  const bool has_own = std::filesystem::exists(own);
  Json old = std::filesystem::exists(model) ? read_json_file(model) : Json::object();
  if (has_own) {
    // config.json may say other things about generation; next to its own file only ids count.
    Json ids = Json::object();
    for (const char* key : {"eos_token_id", "bos_token_id", "pad_token_id"}) {
      if (old.is_object() && old.contains(key)) ids[key] = old[key];
    }
    old = std::move(ids);
  }
  config.merge_json(old, model.string());
  if (has_own) config.merge_json(read_json_file(own), own.string());
  return config;
}

}  // namespace nibble
