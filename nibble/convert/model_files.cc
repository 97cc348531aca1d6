// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/model_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/models/model.h"

namespace nibble {
namespace {

constexpr const char* kCompanions[] = {"generation_config.json",
                                       "tokenizer.json",
                                       "tokenizer_config.json",
                                       "tokenizer.model",
                                       "vocab.json",
                                       "merges.txt",
                                       "vocab.txt",
                                       "added_tokens.json",
                                       "special_tokens_map.json",
                                       "chat_template.jinja",
                                       "chat_template.json"};

}  // namespace

void copy_companions(const std::filesystem::path& folder, CheckpointWriter& writer) {
  for (const char* name : kCompanions) {
    const std::filesystem::path file = folder / name;
    if (std::filesystem::is_regular_file(file)) writer.copy_file(file);
  }
}

std::optional<DType> dtype_in_config(const nlohmann::ordered_json& config,
                                     const std::string& file) {
  for (const char* key : {"dtype", "torch_dtype"}) {
    const auto it = config.find(key);
    if (it == config.end() || it->is_null()) continue;
    const std::optional<DType> dtype =
        it->is_string() ? dtype_from_torch(it->get<std::string>()) : std::nullopt;
    if (!dtype || !is_float(*dtype)) {
      throw Error(fmt::format("bad value of '{}'", key))
          .file(file)
          .expected("the name of a float dtype")
          .got(it->dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace));
    }
    return dtype;
  }
  return std::nullopt;
}

void set_dtype_in_config(nlohmann::ordered_json& config, DType dtype) {
  const bool old_key = config.contains("torch_dtype") && !config.contains("dtype");
  config[old_key ? "torch_dtype" : "dtype"] = torch_name(dtype);
}

DType main_dtype(const Checkpoint& checkpoint) {
  std::map<DType, int64_t> elements;
  for (const std::string& name : checkpoint.names()) {
    const TensorInfo& info = checkpoint.info(name);
    if (is_float(info.dtype)) elements[info.dtype] += info.nbytes / size_of(info.dtype);
  }
  std::pair<DType, int64_t> most{DType::kF32, -1};
  for (const auto& entry : elements) {
    if (entry.second > most.second) most = entry;
  }
  return most.first;
}

bool is_old_buffer(const std::string& name) { return name.ends_with(".inv_freq"); }

DType dtype_before_quantization(DType plain) { return is_held(plain) ? plain : DType::kF32; }

DType dtype_beside_quantized(const std::string& name, DType stored, DType plain) {
  return is_held(plain) && is_float(stored) && !is_old_buffer(name) ? plain : stored;
}

int64_t count_parameters(const Checkpoint& checkpoint,
                         const std::map<std::string, std::string>& dropped) {
  int64_t elements = 0;
  for (const std::string& name : checkpoint.names()) {
    const TensorInfo& info = checkpoint.info(name);
    if (!is_float(info.dtype) || dropped.contains(name) || is_old_buffer(name)) continue;
    elements += info.nbytes / size_of(info.dtype);
  }
  return elements;
}

std::optional<ModelOutline> known_outline(const nlohmann::ordered_json& config) {
  try {
    return outline_of(config, "config.json");
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::vector<ModuleInfo> modules_of(const ModelConfig& config, LoadOptions options) {
  const WeightLoader recorder(std::move(options));
  make_model(config, recorder);
  return recorder.modules();
}

bool belongs_to(const std::string& tensor, const std::string& module) {
  return tensor.size() > module.size() + 1 && tensor.starts_with(module) &&
         tensor[module.size()] == '.';
}

std::string codes_tensor(const Checkpoint& checkpoint, const std::string& module) {
  const std::string weight = module + ".weight", bias = module + ".bias";
  if (checkpoint.contains(weight)) return weight;
  const std::vector<std::string>& names = checkpoint.names();  // sorted
  std::string largest = weight;
  int64_t most = -1;
  for (auto it = std::ranges::lower_bound(names, module + '.');
       it != names.end() && belongs_to(*it, module); ++it) {
    const int64_t bytes = checkpoint.info(*it).nbytes;
    if (*it == bias || bytes <= most) continue;
    largest = *it;
    most = bytes;
  }
  checkpoint.info(largest);  // throws
  return largest;
}

}  // namespace nibble
