// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/inspect.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/convert/convert_model.h"
#include "nibble/convert/inspect_config.h"
#include "nibble/convert/model_files.h"
#include "nibble/io/gguf.h"
#include "nibble/io/json_file.h"
#include "nibble/models/config.h"
#include "nibble/quant/registry.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

// A folder whose modules are known.
struct ModelFolder {
  ModelConfig config;
  Checkpoint checkpoint;
  std::optional<QuantizationConfig> quantization;  // absent: plain
  std::unique_ptr<Scheme> scheme;                  // of that
  std::vector<ModuleInfo> modules;

  static ModelFolder open(const fs::path& path) {
    ModelFolder folder{ModelConfig::load(path), Checkpoint::open(path), std::nullopt, nullptr, {}};
    folder.quantization = find_quantization_config(path, folder.config.quantization);
    if (folder.quantization) {
      folder.scheme = make_scheme(*folder.quantization,
                                  quantization_file(path, folder.config.quantization).string());
    }
    folder.modules = modules_of(folder.config);
    return folder;
  }

  bool is_packed(const ModuleInfo& module) const {
    return scheme && module.kind == ModuleInfo::Kind::kLinear && module.tied_to.empty() &&
           scheme->is_packed(checkpoint, module.name);
  }

  // Of the parameters of a packed module; HQQ's bits are those of each module, not of the config.
  int64_t packed_bytes(const ModuleInfo& module) const {
    if (std::holds_alternative<HqqConfig>(*quantization)) {
      return checkpoint.info(module.name + ".W_q").nbytes;
    }
    return packed_size(*quantization, module.rows, module.cols).bytes;
  }

  Weight weight(const ModuleInfo& module, ThreadPool& pool) const {
    if (is_packed(module)) {
      return scheme->load(checkpoint, module.name, module.rows, module.cols, pool);
    }
    return Weight::dense(checkpoint.tensor(module.name + ".weight"));
  }
};

InspectedModule describe(const ModelFolder& folder, const ModuleInfo& info) {
  InspectedModule module;
  module.name = info.name;
  module.tied_to = info.tied_to;
  if (info.kind == ModuleInfo::Kind::kParameter) {
    const TensorInfo& tensor = folder.checkpoint.info(info.name);
    module.kind = "parameter";
    module.shape = tensor.shape;
    module.dtype = safetensors_name(tensor.dtype);
    module.parameters = info.rows;
    module.bytes = tensor.nbytes;
    module.bits_per_weight = 8.0 * static_cast<double>(size_of(tensor.dtype));
    return module;
  }
  module.kind = info.kind == ModuleInfo::Kind::kEmbedding ? "embedding" : "linear";
  module.shape = {info.rows, info.cols};
  if (!info.tied_to.empty()) return module;
  module.parameters = info.rows * info.cols + (info.bias ? info.rows : 0);
  if (folder.is_packed(info)) module.scheme = folder.scheme->name();
  const std::string weight = codes_tensor(folder.checkpoint, info.name);
  module.dtype = safetensors_name(folder.checkpoint.info(weight).dtype);
  int64_t weight_bytes = 0;
  for (const std::string& name : folder.checkpoint.names()) {
    if (!belongs_to(name, info.name)) continue;
    const int64_t bytes = folder.checkpoint.info(name).nbytes;
    module.bytes += bytes;
    if (name != info.name + ".bias") weight_bytes += bytes;
  }
  module.bits_per_weight =
      8.0 * static_cast<double>(weight_bytes) / static_cast<double>(info.rows * info.cols);
  return module;
}

int64_t footprint(const ModelFolder& folder) {
  int64_t bytes = 0;
  for (const ModuleInfo& module : folder.modules) {
    if (!module.tied_to.empty()) continue;
    if (module.kind == ModuleInfo::Kind::kParameter) {
      bytes += folder.checkpoint.info(module.name).nbytes;
      continue;
    }
    bytes += folder.is_packed(module) ? folder.packed_bytes(module)
                                      : folder.checkpoint.info(module.name + ".weight").nbytes;
    if (module.bias) bytes += folder.checkpoint.info(module.name + ".bias").nbytes;
  }
  // Two float32 buffers of rotary_dim / 2: the frequencies in use and the original ones.
  const auto rotary_dim = static_cast<int64_t>(static_cast<double>(folder.config.head_dim) *
                                               folder.config.rope.partial_rotary_factor);
  return bytes + 2 * (rotary_dim / 2) * 4;
}

struct ErrorSums {
  double max_abs = 0, squares = 0, reference = 0;

  void add(const ErrorSums& other) {
    max_abs = std::max(max_abs, other.max_abs);
    squares += other.squares;
    reference += other.reference;
  }
  MatrixError result() const {
    return {max_abs, squares == 0 ? 0 : std::sqrt(squares / reference)};
  }
};

ErrorSums difference(const Weight& weight, const Weight& reference, ThreadPool& pool) {
  constexpr int64_t kRowsPerTask = 8;
  const size_t cols = static_cast<size_t>(weight.cols());
  // One sum per row, added up in order: the same digits for any number of threads.
  std::vector<ErrorSums> rows(static_cast<size_t>(weight.rows()));
  pool.parallel_for(weight.rows(), kRowsPerTask, [&](int64_t begin, int64_t end) {
    std::vector<float> a(cols), b(cols);
    for (int64_t row = begin; row < end; ++row) {
      weight.decode_row(row, a);
      reference.decode_row(row, b);
      ErrorSums& sums = rows[static_cast<size_t>(row)];
      for (size_t i = 0; i < cols; ++i) {
        const double delta = static_cast<double>(a[i]) - b[i];
        sums.max_abs = std::max(sums.max_abs, std::abs(delta));
        sums.squares += delta * delta;
        sums.reference += static_cast<double>(b[i]) * b[i];
      }
    }
  });
  ErrorSums total;
  for (const ErrorSums& row : rows) total.add(row);
  return total;
}

void compare(const ModelFolder& folder, const ModelFolder& other, Inspection& inspection,
             ThreadPool& pool, Progress* progress) {
  ErrorSums total;
  if (progress) progress->begin("comparing", static_cast<int64_t>(folder.modules.size()));
  for (size_t i = 0; i < folder.modules.size(); ++i) {
    const ModuleInfo& module = folder.modules[i];
    if (progress) progress->advance(1, module.name);
    if (module.kind == ModuleInfo::Kind::kParameter || !module.tied_to.empty()) continue;
    const auto same = std::find_if(other.modules.begin(), other.modules.end(),
                                   [&](const ModuleInfo& m) { return m.name == module.name; });
    if (same == other.modules.end() || !same->tied_to.empty() || same->rows != module.rows ||
        same->cols != module.cols) {
      throw Error(fmt::format("the models cannot be compared: module '{}' differs", module.name))
          .file(other.checkpoint.folder())
          .expected(to_string(Shape{module.rows, module.cols}))
          .got(same == other.modules.end() ? "no such module"
                                           : to_string(Shape{same->rows, same->cols}));
    }
    const ErrorSums sums = difference(folder.weight(module, pool), other.weight(*same, pool), pool);
    inspection.modules[i].error = sums.result();
    total.add(sums);
  }
  inspection.error = total.result();
  if (progress) progress->end();
}

Inspection inspect_gguf(const fs::path& path) {
  const GgufFile file = GgufFile::open(path);
  Inspection inspection;
  inspection.format = "gguf";
  if (const GgufValue* architecture = file.find_value("general.architecture")) {
    inspection.model_type = architecture->as_string();
  }
  inspection.note = "a GGUF file; `nibble convert` makes it a model folder";
  for (const GgufTensorInfo& tensor : file.tensors()) {
    inspection.tensors.push_back({tensor.name, std::string(ggml_type_traits(tensor.type)->name),
                                  tensor.shape, tensor.nbytes});
    inspection.parameters += tensor.rows * tensor.columns;
    inspection.bytes += tensor.nbytes;
  }
  return inspection;
}

Inspection inspect_tensors(const Checkpoint& checkpoint) {
  Inspection inspection;
  inspection.format = checkpoint.files().empty() ? "" : checkpoint.files()[0].format();
  inspection.bytes = checkpoint.total_bytes();
  for (const TensorFile& file : checkpoint.files()) {
    for (const TensorInfo& tensor : file.tensors()) {
      inspection.tensors.push_back(
          {tensor.name, std::string(safetensors_name(tensor.dtype)), tensor.shape, tensor.nbytes});
      inspection.parameters += tensor.nbytes / size_of(tensor.dtype);
    }
  }
  return inspection;
}

}  // namespace

Inspection inspect_model(const fs::path& path, const std::optional<fs::path>& compare_with,
                         ThreadPool& pool, Progress* progress) {
  const auto refuse_compare = [&](const std::string& note) {
    if (!compare_with) return;
    throw Error("cannot compare: only tensors are known").file(path).hint(note);
  };
  if (is_gguf(path)) {
    Inspection inspection = inspect_gguf(path);
    refuse_compare(inspection.note);
    return inspection;
  }
  Inspection inspection = inspect_tensors(Checkpoint::open(path));
  std::optional<ModelFolder> folder;
  if (!fs::is_directory(path)) {
    inspection.note = "a single file; name its folder to see modules";
  } else if (!fs::exists(path / "config.json")) {
    inspection.note = "the folder has no config.json";
  } else {
    try {
      const auto json = read_json_file(path / "config.json");
      const auto stored = json.find("quantization_config");
      if (const auto quantization = find_quantization_config(
              path, stored == json.end() ? nlohmann::ordered_json() : *stored)) {
        inspection.quantization = describe_quantization(*quantization);
      }
      folder = ModelFolder::open(path);
    } catch (const Error& error) {
      inspection.note = error.what();
    }
  }
  if (!folder) {
    refuse_compare(inspection.note);
    return inspection;
  }

  inspection.model_type = folder->config.model_type;
  if (folder->scheme) inspection.scheme = folder->scheme->name();
  inspection.parameters = 0;
  for (const ModuleInfo& module : folder->modules) {
    inspection.modules.push_back(describe(*folder, module));
    inspection.parameters += inspection.modules.back().parameters;
    if (inspection.quantization && module.kind == ModuleInfo::Kind::kLinear) {
      ++inspection.quantization->linear_modules;
      inspection.quantization->converted_modules += folder->is_packed(module) ? 1 : 0;
    }
  }
  if (folder->scheme) {
    for (std::string& remark : folder->scheme->remarks(folder->checkpoint)) {
      inspection.quantization->notes.push_back(std::move(remark));
    }
  }
  inspection.memory_footprint = footprint(*folder);
  if (compare_with) {
    compare(*folder, ModelFolder::open(*compare_with), inspection, pool, progress);
  }
  return inspection;
}

}  // namespace nibble
