// SPDX-License-Identifier: Apache-2.0
#include "nibble/nn/weight_cache_key.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>

#include "nibble/base/atomic_file.h"
#include "nibble/base/error.h"
#include "nibble/io/checksum.h"

namespace nibble {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

// To be raised with every change of what is stored (format/weight_parts.cc), of the form that a
// backend prepares, and of the codes that a scheme makes or reads.
constexpr int kWeightCacheVersion = 1;

// Those of a model folder that may describe a quantization.
constexpr const char* kConfigFiles[] = {"config.json", "quantize_config.json", "quant_config.json"};

std::string checksum_text(std::string_view text) {
  return fmt::format("{:016x}", checksum_of(std::as_bytes(std::span(text)), 0));
}

// Paths need not be UTF-8.
std::string json_text(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

Json file_state(const fs::path& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    throw Error("cannot look at the file").file(path).got(std::strerror(errno));
  }
  return Json{{"name", path.filename().string()},
              {"bytes", status.st_size},
              {"mtime", fmt::format("{}.{:09}", status.st_mtim.tv_sec, status.st_mtim.tv_nsec)}};
}

std::string table_of(const TensorFile& file) {
  std::string table;
  for (const TensorInfo& info : file.tensors()) {
    table += fmt::format("{} {} {} {} {}\n", info.name, torch_name(info.dtype),
                         to_string(info.shape), info.offset, info.nbytes);
  }
  return table;
}

}  // namespace

WeightCacheKey weight_cache_key(const WeightCacheSource& source) {
  const fs::path folder = fs::weakly_canonical(fs::absolute(source.checkpoint.folder()));
  Json key{{"version", kWeightCacheVersion},
           {"model", folder.string()},
           {"backend", source.backend},
           {"scheme", source.scheme.config_json()}};
  if (source.quantizes) {
    key["quantizes"] = source.dtype ? torch_name(*source.dtype) : "in the dtype of the file";
  }
  WeightCacheKey result;
  result.slot = fmt::format("{}-{}", folder.filename().string(), checksum_text(json_text(key)));
  for (const char* name : kConfigFiles) {
    if (!fs::exists(folder / name)) continue;
    Json& state = key["files"].emplace_back(file_state(folder / name));
    state["content"] = checksum_text(read_text_file(folder / name));
  }
  for (const TensorFile& file : source.checkpoint.files()) {
    Json& state = key["files"].emplace_back(file_state(file.path()));
    state["tensors"] = checksum_text(table_of(file));
  }
  result.text = json_text(key);
  return result;
}

}  // namespace nibble
