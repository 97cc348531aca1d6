// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/tied_weights.h"

#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "nibble/convert/model_files.h"
#include "nibble/io/page_advice.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

bool same_bytes(const Checkpoint& checkpoint, const std::string& a, const std::string& b) {
  const Tensor left = checkpoint.tensor(a), right = checkpoint.tensor(b);
  if (left.dtype() != right.dtype() || left.shape() != right.shape()) return false;
  prefetch_pages(left);
  prefetch_pages(right);
  const bool same = left.nbytes() == 0 ||
                    std::memcmp(left.raw(), right.raw(), static_cast<size_t>(left.nbytes())) == 0;
  drop_pages(left);
  drop_pages(right);
  return same;
}

// What a model of this config has: its parameters, each with the one that it shares, or "".
std::map<std::string, std::string> parameters_of(const Json& config) {
  std::map<std::string, std::string> parameters;
  const std::optional<ModelOutline> outline = known_outline(config);
  if (!outline) return parameters;
  for (const OutlineModule& module : outline->modules) {
    const bool whole_name = module.kind == OutlineModule::Kind::kParameter;
    parameters[whole_name ? module.path : module.path + ".weight"] = module.tied_to;
    if (module.bias > 0) parameters[module.path + ".bias"] = module.bias_tied_to;
  }
  return parameters;
}

}  // namespace

std::map<std::string, std::string> repeated_weights(const Checkpoint& checkpoint,
                                                    const Json& config) {
  const std::map<std::string, std::string> parameters = parameters_of(config);
  std::map<std::string, std::string> repeated;
  for (const auto& [name, original] : parameters) {
    if (!original.empty() && checkpoint.contains(name) && checkpoint.contains(original) &&
        same_bytes(checkpoint, name, original)) {
      repeated[name] = original;
    }
  }
  const auto ties = config.is_object() ? config.find("tie_word_embeddings") : config.end();
  const bool untied = ties != config.end() && ties->is_boolean() && !ties->get<bool>();
  for (const auto& [name, first] : checkpoint.aliases()) {
    const bool settled = parameters.contains(name) || repeated.contains(first);
    if (!untied && !settled) repeated[name] = first;
  }
  return repeated;
}

}  // namespace nibble
