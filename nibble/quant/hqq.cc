// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/hqq.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "nibble/base/error.h"
#include "nibble/quant/affine_packing.h"
#include "nibble/quant/dense_input.h"
#include "nibble/quant/hqq_solver.h"
#include "nibble/quant/module_reader.h"

namespace nibble {
namespace {

// Texts and flags of a state dict are tensors, too.
Tensor text_tensor(std::string_view text) {
  return Tensor::from<uint8_t>({text.begin(), text.end()}, {static_cast<int64_t>(text.size())});
}
Tensor flag_tensor(bool flag) {
  return Tensor::from<uint8_t>({flag ? uint8_t{1} : uint8_t{0}}, {});
}
Tensor int_tensor(int64_t value) {
  return Tensor::from<int32_t>({static_cast<int32_t>(value)}, {});
}

bool read_flag(const ModuleReader& reader, std::string_view suffix) {
  return reader.contains(suffix) && reader.tensor(suffix, DType::kU8, {}).data<uint8_t>()[0] != 0;
}

double read_nbits(const ModuleReader& reader) {
  const bool whole = reader.tensor("nbits").dtype() == DType::kI32;
  const double nbits = whole ? reader.tensor("nbits", DType::kI32, {}).data<int32_t>()[0]
                             : reader.tensor("nbits", DType::kF32, {}).data<float>()[0];
  constexpr std::array<double, 8> kKnown = {8, 6, 5, 4, 3, 2, 1.58, 1};
  const auto is_it = [&](double known) { return std::fabs(known - nbits) < 1e-6; };
  if (std::ranges::none_of(kKnown, is_it)) {
    throw reader.error("nbits", "hqq has no codes of these bits").got(fmt::format("{}", nbits));
  }
  return nbits;
}

// Bytes of W_q under the dtype of its words: with view_as_float they stand under another.
Tensor read_words(const ModuleReader& reader, const HqqShape& shape, int64_t bits) {
  const Tensor stored = reader.tensor("W_q");
  const DType dtype = bits == 3 ? DType::kI32 : DType::kU8;
  const Shape words = hqq_word_shape(shape, bits);
  const bool viewed = read_flag(reader, "view_as_float") && is_float(stored.dtype());
  const bool whole = stored.rank() == 2 && stored.dim(0) == words[0] &&
                     stored.nbytes() == checked_numel(words) * size_of(dtype);
  if ((stored.dtype() != dtype && !viewed) || !whole) {
    throw reader.error("W_q", "tensor has the wrong dtype or shape")
        .expected(fmt::format("{} {}", torch_name(dtype), to_string(words)))
        .got(fmt::format("{} {}", torch_name(stored.dtype()), to_string(stored.shape())));
  }
  return stored.reinterpret(dtype, words);
}

// Shapes of scale and zero in a file: a column of groups, or a row of them.
Shape stored_scales(const HqqShape& shape) {
  const int64_t groups = shape.rows * shape.cols / shape.group_size;
  return shape.axis == 0 ? Shape{1, groups} : Shape{groups, 1};
}

const char* packing_name(int64_t bits) {
  constexpr std::array<const char*, 9> kNames = {"", "1bit_u8", "2bit_u8", "3bit_32", "4bit_u8",
                                                 "", "",        "",        "8bit_u8"};
  return kNames[static_cast<size_t>(bits)];
}

}  // namespace

HqqShape HqqScheme::shape_of(int64_t rows, int64_t cols) const {
  const HqqWeightParams& params = config_.params;
  return {.rows = rows,
          .cols = cols,
          .group_size = params.group_size.value_or(params.axis == 0 ? rows : cols),
          .axis = params.axis};
}

Weight HqqScheme::quantize(const Tensor& dense, ThreadPool& pool) const {
  check_dense_input(dense);
  const HqqShape shape = shape_of(dense.dim(0), dense.dim(1));
  if (!config_.by_tag.empty() || !config_.params.channel_wise) {
    throw Error("cannot quantize with this hqq config")
        .expected("one set of parameters for all modules, and groups");
  }
  if (const std::optional<std::string> wanted = misfit(shape.rows, shape.cols)) {
    throw Error("hqq cannot group this matrix").expected(*wanted).got(to_string(dense.shape()));
  }
  return solve_hqq(dense, pool, shape, config_.params);
}

std::optional<std::string> HqqScheme::misfit(int64_t rows, int64_t cols) const {
  const HqqShape shape = shape_of(rows, cols);
  if (shape.fits() && fits_hqq_words(shape, hqq_stored_bits(config_.params.nbits))) return {};
  return fmt::format("{} that are a multiple of {} and fill whole bytes",
                     shape.axis == 0 ? "rows" : "columns", shape.group_size);
}

Weight HqqScheme::load(const Checkpoint& checkpoint, const std::string& module, int64_t rows,
                       int64_t cols, ThreadPool& pool) const {
  const ModuleReader reader(checkpoint, module);
  const auto shape_values = reader.tensor("shape", DType::kI64, {2}).data<int64_t>();
  if (shape_values[0] != rows || shape_values[1] != cols) {
    throw reader.error("shape", "quantized weight has the wrong shape")
        .expected(to_string(Shape{rows, cols}))
        .got(to_string(Shape{shape_values[0], shape_values[1]}));
  }
  if (read_flag(reader, "quant_scale") || read_flag(reader, "quant_zero")) {
    throw reader.error("W_q", "scales or zeros are quantized themselves, which hqq gave up")
        .hint("save the model once with hqq 0.2 or later");
  }
  const int64_t bits = hqq_stored_bits(read_nbits(reader));
  const int64_t axis = reader.tensor("axis", DType::kI32, {}).data<int32_t>()[0];
  int64_t group_size = axis == 0 ? rows : cols;
  if (reader.contains("group_size")) {
    group_size = reader.tensor("group_size", DType::kI32, {}).data<int32_t>()[0];
  }
  const HqqShape shape{.rows = rows, .cols = cols, .group_size = group_size, .axis = axis};
  if ((axis != 0 && axis != 1) || !shape.fits() || !fits_hqq_words(shape, bits)) {
    throw reader.error("W_q", "groups do not fit the weight")
        .expected("groups that divide a row (axis 1) or the rows (axis 0)")
        .got(fmt::format("{} in groups of {} along axis {}", to_string(Shape{rows, cols}),
                         group_size, axis));
  }
  AffineGroup packed;
  packed.bits = bits;
  packed.group_size = axis == 0 ? 1 : group_size;
  packed.codes = pack_code_matrix(codes_of_hqq(read_words(reader, shape, bits), shape, bits, pool),
                                  bits, &pool);
  const Shape stored = stored_scales(shape);
  packed.zeros = read_scales(reader, "zero", stored, packed.scale_dtype).reshape(shape.scales());
  packed.scales = read_scales(reader, "scale", stored, packed.scale_dtype).reshape(shape.scales());
  const DType dtype = packed.scale_dtype;
  return Weight::affine_group(std::move(packed), cols, dtype);
}

bool HqqScheme::is_packed(const Checkpoint& checkpoint, const std::string& module) const {
  return checkpoint.contains(module_prefix(module) + "W_q");
}

std::vector<NamedTensor> HqqScheme::save(const Weight& weight, const std::string& module) const {
  const std::string prefix = module_prefix(module), name = prefix + "W_q";
  const HqqWeightParams& params = config_.params;
  const int64_t bits = hqq_stored_bits(params.nbits);
  if (weight.layout() != Layout::kAffineGroup) {
    throw cannot_store(name, "HQQ")
        .expected(std::string(layout_name(Layout::kAffineGroup)))
        .got(std::string(layout_name(weight.layout())));
  }
  const AffineGroup& packed = weight.as_affine_group();
  require_columns_in_order(packed, name, "HQQ");
  const HqqShape shape = shape_of(weight.rows(), weight.cols());
  const int64_t group_size = shape.axis == 0 ? 1 : shape.group_size;
  if (misfit(shape.rows, shape.cols) || packed.bits != bits || packed.group_size != group_size ||
      packed.scales.shape() != shape.scales() || packed.zero_form != ZeroForm::kSubtracted) {
    throw cannot_store(name, "HQQ")
        .expected(fmt::format("codes of {} bits in groups of {} along axis {}", bits,
                              shape.group_size, shape.axis))
        .got(fmt::format("{}, {} bits in groups of {}", to_string(Shape{shape.rows, shape.cols}),
                         packed.bits, packed.group_size));
  }
  const auto stored = [&](const Tensor& floats) {
    return to_dtype(floats, packed.scale_dtype).reshape(stored_scales(shape));
  };
  Tensor words = hqq_words(unpack_code_matrix(packed.codes, shape.cols, bits), shape, bits);
  const int64_t width = size_of(packed.scale_dtype), row_bytes = words.nbytes() / words.dim(0);
  if (params.view_as_float && row_bytes % width == 0) {
    words = words.reinterpret(packed.scale_dtype, {words.dim(0), row_bytes / width});
  }
  const bool whole = std::nearbyint(params.nbits) == params.nbits;
  const std::string dtype = "torch." + std::string(torch_name(packed.scale_dtype));
  std::vector<NamedTensor> tensors = {
      {"W_q", words},
      {"nbits", whole ? int_tensor(static_cast<int64_t>(params.nbits))
                      : Tensor::from<float>({static_cast<float>(params.nbits)}, {})},
      {"group_size", params.group_size ? int_tensor(*params.group_size) : Tensor()},
      {"shape", Tensor::from<int64_t>({shape.rows, shape.cols}, {2})},
      {"scale", stored(packed.scales)},
      {"zero", stored(packed.zeros)},
      {"axis", int_tensor(shape.axis)},
      {"packing", text_tensor(packing_name(bits))},
      {"unpack_view_dtype", text_tensor(bits == 3 ? "torch.int32" : "torch.uint8")},
      {"view_as_float", flag_tensor(params.view_as_float)},
      {"quant_scale", flag_tensor(false)},
      {"quant_zero", flag_tensor(false)},
      {"compute_dtype", text_tensor(dtype)},
      {"offload_meta", flag_tensor(false)},
      {"encoded_state_dict", flag_tensor(true)},
      {"stores_quant_config", flag_tensor(true)},
      {"channel_wise", flag_tensor(params.channel_wise)},
      {"optimize", flag_tensor(params.optimize)},
      {"round_zero", flag_tensor(params.round_zero)}};
  std::erase_if(tensors, [](const NamedTensor& item) { return !item.tensor.defined(); });
  for (NamedTensor& item : tensors) item.name.insert(0, prefix);
  return tensors;
}

}  // namespace nibble
