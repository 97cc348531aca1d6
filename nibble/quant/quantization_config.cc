// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/quantization_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <nlohmann/json.hpp>

#include "nibble/base/error.h"
#include "nibble/io/json_file.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

struct Entry {
  const char* method;
  QuantizationConfig (*read)(const Json&, const std::string& file);
};

template <typename T>
constexpr Entry entry_of() {
  return {T::kMethod, [](const Json& object, const std::string& file) -> QuantizationConfig {
            return T::from_json(object, file);
          }};
}

constexpr std::array<Entry, 9> kMethods = {
    entry_of<AwqConfig>(),  entry_of<BitsAndBytesConfig>(), entry_of<CompressedTensorsConfig>(),
    entry_of<EetqConfig>(), entry_of<FbgemmFp8Config>(),    entry_of<Fp8Config>(),
    entry_of<GptqConfig>(), entry_of<GroupInt8Config>(),    entry_of<HqqConfig>()};

constexpr const char* kConfigFile = "config.json";

struct OldFile {
  const char* name;
  const char* method;
};

constexpr std::array<OldFile, 2> kOldFiles = {
    {{"quantize_config.json", GptqConfig::kMethod}, {"quant_config.json", AwqConfig::kMethod}}};

// As a condition in Python, for which even a string is true: what is no boolean then fails by its
// own name in BitsAndBytesConfig::from_json().
bool is_set(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && !at->is_null() && *at != Json(false) && *at != Json(0);
}

}  // namespace

QuantizationConfig read_quantization_config(const Json& object, const std::string& file) {
  if (!object.is_object()) {
    throw Error("quantization_config is not an object").file(file).got(object.dump());
  }
  if (is_set(object, "load_in_8bit") || is_set(object, "load_in_4bit")) {
    return BitsAndBytesConfig::from_json(object, file);
  }
  const auto method = object.find("quant_method");
  if (method == object.end() || method->is_null()) {
    throw Error("quantization_config has no 'quant_method'").file(file);
  }
  // What AutoGPTQ wrote for the kernel of that name.
  if (*method == "marlin") {
    Json gptq = object;
    gptq["checkpoint_format"] = "marlin";
    return GptqConfig::from_json(gptq, file);
  }
  std::vector<std::string> known;
  for (const Entry& entry : kMethods) {
    if (*method == entry.method) return entry.read(object, file);
    known.emplace_back(entry.method);
  }
  throw Error("quantization method is not known")
      .file(file)
      .expected(fmt::format("one of {}", fmt::join(known, ", ")))
      .got(method->dump(-1, ' ', true, Json::error_handler_t::replace));
}

std::filesystem::path quantization_file(const std::filesystem::path& folder,
                                        const Json& in_config) {
  if (in_config.is_null()) {
    for (const OldFile& old : kOldFiles) {
      if (std::filesystem::is_regular_file(folder / old.name)) return folder / old.name;
    }
  }
  return folder / kConfigFile;
}

bool names_quantization(const std::filesystem::path& folder, const Json& in_config) {
  return !in_config.is_null() || quantization_file(folder, in_config).filename() != kConfigFile;
}

std::optional<QuantizationConfig> find_quantization_config(const std::filesystem::path& folder,
                                                           const Json& in_config) {
  const std::filesystem::path file = quantization_file(folder, in_config);
  if (!in_config.is_null()) return read_quantization_config(in_config, file.string());
  for (const OldFile& old : kOldFiles) {
    if (file.filename() != old.name) continue;
    Json object = read_json_file(file);
    // These files belong to one library each and need not say which.
    if (object.is_object() && !object.contains("quant_method")) object["quant_method"] = old.method;
    return read_quantization_config(object, file.string());
  }
  return std::nullopt;
}

QuantizationFacts facts_of(const QuantizationConfig& config) {
  return std::visit([](const auto& c) { return c.facts(); }, config);
}

PackedSize packed_size(const QuantizationConfig& config, int64_t rows, int64_t cols) {
  return std::visit([&](const auto& c) { return c.packed_size(rows, cols); }, config);
}

Json to_json(const QuantizationConfig& config) {
  return std::visit([](const auto& c) { return c.to_json(); }, config);
}

const std::vector<std::string>& notes_of(const QuantizationConfig& config) {
  return std::visit([](const auto& c) -> const std::vector<std::string>& { return c.notes; },
                    config);
}

std::vector<std::string> notes_on_unknown(const std::vector<std::string>& keys) {
  if (keys.empty()) return {};
  return {fmt::format("quantization_config: ignored {} '{}'", keys.size() == 1 ? "key" : "keys",
                      fmt::join(keys, "', '"))};
}

}  // namespace nibble
