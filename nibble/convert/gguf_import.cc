// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/gguf_import.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/base/mapped_file.h"
#include "nibble/convert/conversion.h"
#include "nibble/convert/gguf_config.h"
#include "nibble/convert/gguf_vocabulary.h"
#include "nibble/convert/model_files.h"
#include "nibble/io/gguf.h"
#include "nibble/io/json_file.h"

namespace nibble {
namespace {

// The float type that all matrices of the file share, if there is one; bfloat16 for a quantized
// file. Vectors do not count: GGUF keeps norms in float32 whatever the matrices are.
DType natural_dtype(const GgufFile& file) {
  std::optional<DType> common;
  for (const GgufTensorInfo& tensor : file.tensors()) {
    if (tensor.shape.size() < 2) continue;
    DType dtype;
    switch (tensor.type) {
      case GgmlType::kF32:
        dtype = DType::kF32;
        break;
      case GgmlType::kF16:
        dtype = DType::kF16;
        break;
      case GgmlType::kBF16:
        dtype = DType::kBF16;
        break;
      default:
        return DType::kBF16;
    }
    if (common && *common != dtype) return DType::kBF16;
    common = dtype;
  }
  return common.value_or(DType::kBF16);
}

bool is_query_or_key(std::string_view name) {
  return name.find(".self_attn.q_proj.") != name.npos ||
         name.find(".self_attn.k_proj.") != name.npos;
}

// Rows of each head from the order of interleaved rope (pairs 2i, 2i + 1) to half-split
// (pairs i, i + head_dim / 2).
Tensor rows_to_half_split(const Tensor& interleaved, int64_t head_dim) {
  const int64_t rows = interleaved.dim(0);
  const int64_t row_bytes = interleaved.nbytes() / rows;
  const int64_t half = head_dim / 2;
  Tensor out = Tensor::empty(interleaved.dtype(), interleaved.shape());
  const auto* from = static_cast<const std::byte*>(interleaved.raw());
  auto* to = static_cast<std::byte*>(out.raw());
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t head = row / head_dim, within = row % head_dim;
    const int64_t source = head * head_dim + 2 * (within % half) + within / half;
    std::memcpy(to + row * row_bytes, from + source * row_bytes, static_cast<size_t>(row_bytes));
  }
  return out;
}

// The tensors that a model of this config has, with their shapes.
std::map<std::string, Shape> expected_tensors(const ModelConfig& config) {
  std::map<std::string, Shape> expected;
  for (const ModuleInfo& module : modules_of(config)) {
    if (!module.tied_to.empty()) continue;
    if (module.kind == ModuleInfo::Kind::kParameter) {
      expected.emplace(module.name, Shape{module.rows});
      continue;
    }
    expected.emplace(module.name + ".weight", Shape{module.rows, module.cols});
    if (module.bias) expected.emplace(module.name + ".bias", Shape{module.rows});
  }
  return expected;
}

// GGUF tensors by their Hugging Face names, exactly those that the model has.
std::map<std::string, const GgufTensorInfo*> match_tensors(const GgufFile& file,
                                                           const ModelConfig& config) {
  std::map<std::string, Shape> missing = expected_tensors(config);
  std::map<std::string, const GgufTensorInfo*> matched;
  for (const GgufTensorInfo& tensor : file.tensors()) {
    if (tensor.name == "rope_freqs.weight") continue;  // became rope_scaling
    const std::optional<std::string> name = hugging_face_name(tensor.name);
    const auto wanted = name ? missing.find(*name) : missing.end();
    if (wanted == missing.end()) {
      throw Error(fmt::format("a {} model has no such tensor", config.model_type))
          .file(file.path())
          .tensor(tensor.name);
    }
    if (tensor.shape != wanted->second) {
      throw Error("wrong shape")
          .file(file.path())
          .tensor(tensor.name)
          .expected(to_string(wanted->second))
          .got(to_string(tensor.shape));
    }
    matched.emplace(*name, &tensor);
    missing.erase(wanted);
  }
  if (!missing.empty()) {
    throw Error("the file has no tensor for this weight")
        .file(file.path())
        .tensor(missing.begin()->first);
  }
  return matched;
}

}  // namespace

ConversionReport import_gguf(const std::filesystem::path& path,
                             const std::filesystem::path& destination, std::optional<DType> dtype,
                             ThreadPool& pool, CheckpointWriterOptions writer_options,
                             Progress* progress) {
  Conversion conversion(
      destination,
      {{"command", "convert"}, {"dtype", dtype ? std::string(torch_name(*dtype)) : "unchanged"}},
      pool, std::move(writer_options), progress);
  const GgufFile file = GgufFile::open(path);
  GgufModel model = read_gguf_model(file);
  const DType target = dtype ? *dtype : natural_dtype(file);
  set_dtype_in_config(model.config, target);
  const ModelConfig config = ModelConfig::from_json(model.config, path.string());
  const auto tensors = match_tensors(file, config);
  const TokenizerFiles tokenizer = make_tokenizer_files(read_gguf_vocabulary(file), path.string());

  conversion.describe_file(path);
  int64_t total = 0;
  for (const auto& [name, tensor] : tensors) total += tensor->nbytes;
  conversion.start("converting", total);
  for (const auto& [name, tensor] : tensors) {
    const GgufTensorInfo& info = *tensor;
    const int64_t head_dim =
        model.interleaved_rope && is_query_or_key(name) ? model.head_dim : int64_t{0};
    conversion.step(name, info.nbytes, [&] {
      const auto rows_of = [&](int64_t begin, int64_t end) {
        const Tensor rows = file.decode_rows_as(info, begin, end, target);
        if (head_dim == 0) return rows;
        // A bias is one row of GGUF, of which each element belongs to a row of the matrix.
        return rows_to_half_split(info.shape.size() < 2 ? rows.reshape(info.shape) : rows,
                                  head_dim);
      };
      prefetch_mapped(file.raw_bytes(info));
      conversion.write_rows({name, target, info.shape}, std::max<int64_t>(1, head_dim), rows_of);
      drop_mapped(file.raw_bytes(info));
    });
  }
  CheckpointWriter& writer = conversion.writer();
  writer.add_file("config.json", format_json(model.config));
  writer.add_file("generation_config.json", format_json(model.generation_config));
  writer.add_file("tokenizer.json", tokenizer.tokenizer_json);
  writer.add_file("tokenizer_config.json", tokenizer.tokenizer_config_json);
  return conversion.commit();
}

}  // namespace nibble
