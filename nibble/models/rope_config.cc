// SPDX-License-Identifier: Apache-2.0
#include "nibble/models/rope_config.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "nibble/base/error.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kDefaultTheta = 10000.0;

std::optional<double> optional_number(const ConfigReader& reader, const char* key) {
  if (!reader.has(key)) return std::nullopt;
  return reader.required_number(key);
}

// The keys that the type reads, beyond those that all share.
void read_type(const ConfigReader& reader, RopeConfig& rope) {
  const std::string& type = rope.rope_type;
  if (type == "default") return;
  if (type == "linear" || type == "dynamic" || type == "llama3") {
    rope.factor = reader.required_number("factor");
  }
  if (type == "llama3") {
    rope.low_freq_factor = reader.required_number("low_freq_factor");
    rope.high_freq_factor = reader.required_number("high_freq_factor");
  } else if (type == "yarn") {
    rope.factor =
        reader.number("factor", static_cast<double>(rope.max_position_embeddings) /
                                    static_cast<double>(rope.original_max_position_embeddings));
    rope.attention_factor = optional_number(reader, "attention_factor");
    rope.mscale = optional_number(reader, "mscale");
    rope.mscale_all_dim = optional_number(reader, "mscale_all_dim");
    // transformers takes 0 for absent.
    if (const double fast = reader.number("beta_fast", 0.0); fast != 0.0) rope.beta_fast = fast;
    if (const double slow = reader.number("beta_slow", 0.0); slow != 0.0) rope.beta_slow = slow;
    rope.truncate = reader.boolean("truncate", true);
  }
}

}  // namespace

RopeConfig read_rope_config(const ConfigReader& config, int64_t max_position_embeddings,
                            int64_t head_dim) {
  RopeConfig rope;
  rope.max_position_embeddings = max_position_embeddings;
  rope.original_max_position_embeddings = max_position_embeddings;

  const Json none = Json::object();
  const char* key = "rope_scaling";  // comes first in transformers, unless it is empty
  const Json* parameters = config.object(key);
  if (!parameters || parameters->empty()) parameters = config.object(key = "rope_parameters");
  const ConfigReader reader(parameters ? *parameters : none, config.file(), key);
  if (reader.has("full_attention") || reader.has("sliding_attention")) {
    throw Error(fmt::format("'{}' differs by layer, which is not supported", key))
        .file(config.file());
  }

  rope.rope_theta = reader.number("rope_theta", config.number("rope_theta", kDefaultTheta));
  rope.partial_rotary_factor =
      reader.number("partial_rotary_factor", config.number("partial_rotary_factor", 1.0));
  if (rope.partial_rotary_factor != 1.0) {
    throw Error("partial rotation is not supported for this architecture")
        .file(config.file())
        .expected("no partial_rotary_factor, or 1")
        .got(fmt::format("{}", rope.partial_rotary_factor));
  }
  rope.rope_type = reader.string("rope_type", reader.string("type", "default"));
  if (rope.rope_type == "llama3" || rope.rope_type == "yarn") {
    constexpr const char* kOriginal = "original_max_position_embeddings";
    const ConfigReader& holder = config.has(kOriginal) ? config : reader;
    rope.original_max_position_embeddings =
        holder.integer(kOriginal, 1, kMostPositions, max_position_embeddings);
  }
  read_type(reader, rope);
  try {
    rope_frequencies(rope, head_dim, max_position_embeddings);
  } catch (Error& error) {
    throw error.file(config.file());
  }
  return rope;
}

}  // namespace nibble
