// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/llm_int8.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/base/half.h"
#include "nibble/quant/dense_input.h"
#include "nibble/quant/module_reader.h"

namespace nibble {
namespace {

constexpr int64_t kElementsPerTask = 64 << 10;  // long enough to hide the cost of claiming a task

// Tiled layouts of bitsandbytes before 0.45, by the number in weight_format.
constexpr std::array<std::string_view, 4> kWeightFormats = {"row", "col32", "col_turing",
                                                            "col_ampere"};

void check_weight_format(const ModuleReader& reader) {
  if (!reader.contains("weight_format")) return;  // older files, always row-major
  const Tensor format = reader.tensor("weight_format");
  if (format.dtype() != DType::kU8 || format.numel() != 1) {
    throw reader.error("weight_format", "tensor has the wrong dtype or shape")
        .expected("uint8 []")
        .got(fmt::format("{} {}", torch_name(format.dtype()), to_string(format.shape())));
  }
  const uint8_t number = format.data<uint8_t>()[0];
  if (number == 0) return;
  const std::string_view name = number < kWeightFormats.size() ? kWeightFormats[number] : "unknown";
  throw reader.error("weight_format", "weight is stored in a tiled layout")
      .expected("0 (row)")
      .got(fmt::format("{} ({})", number, name))
      .hint("load and save the model once with bitsandbytes 0.45 or later");
}

[[noreturn]] void throw_beyond_float16(const Tensor& dense) {
  check_finite(dense);
  const int64_t cols = dense.dim(1);
  float value = 0.0f;
  int64_t i = 0;
  for (; i < dense.numel(); ++i) {
    read_elements(dense, i, {&value, 1});
    if (std::isinf(to_float(to_fp16(value)))) break;
  }
  throw Error("weights are beyond the range of float16, in which LLM.int8() quantizes")
      .expected("magnitudes of at most 65504")
      .got(fmt::format("{} at [{}, {}]", value, i / cols, i % cols))
      .hint("quantize this model to nf4 or fp4, or name the module in llm_int8_skip_modules");
}

}  // namespace

LlmInt8Scheme::LlmInt8Scheme(BitsAndBytesConfig config) : config_(std::move(config)) {}

Weight LlmInt8Scheme::quantize(const Tensor& dense, ThreadPool& pool) const {
  check_dense_input(dense);
  const int64_t rows = dense.dim(0);
  const int64_t cols = dense.dim(1);
  Int8Row packed{Tensor::empty(DType::kI8, {rows, cols}), Tensor::empty(DType::kF32, {rows})};
  const auto codes = packed.codes.mutable_data<int8_t>();
  const auto absmax = packed.absmax.mutable_data<float>();
  const int64_t grain = std::max<int64_t>(1, kElementsPerTask / std::max<int64_t>(1, cols));
  pool.parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(cols));
    for (int64_t r = begin; r < end; ++r) {
      read_elements(dense, r * cols, row);
      if (dense.dtype() != DType::kF16) round_to_fp16(row);
      const auto out = codes.subspan(static_cast<size_t>(r * cols), row.size());
      absmax[static_cast<size_t>(r)] = encode_int8_row(row, out);
    }
  });
  for (const float largest : absmax) {
    if (!std::isfinite(largest)) throw_beyond_float16(dense);
  }
  return Weight::int8_row(std::move(packed), dense.dtype(), ActivationMode::kInt8,
                          config_.llm_int8_threshold);
}

Weight LlmInt8Scheme::load(const Checkpoint& checkpoint, const std::string& module, int64_t rows,
                           int64_t cols, ThreadPool& /*pool*/) const {
  const ModuleReader reader(checkpoint, module);
  check_weight_format(reader);
  Int8Row packed{reader.tensor("weight", DType::kI8, {rows, cols}),
                 reader.tensor("SCB", DType::kF32, {rows})};
  return Weight::int8_row(std::move(packed), DType::kF16, ActivationMode::kInt8,
                          config_.llm_int8_threshold);
}

bool LlmInt8Scheme::is_packed(const Checkpoint& checkpoint, const std::string& module) const {
  const std::string prefix = module_prefix(module);
  if (checkpoint.contains(prefix + "SCB")) return true;
  const std::string weight = prefix + "weight";
  return checkpoint.contains(weight) && checkpoint.info(weight).dtype == DType::kI8;
}

std::vector<NamedTensor> LlmInt8Scheme::save(const Weight& weight,
                                             const std::string& module) const {
  if (weight.layout() != Layout::kInt8Row) {
    throw Error("cannot save this weight as LLM.int8()")
        .tensor(module_prefix(module) + "weight")
        .expected(std::string(layout_name(Layout::kInt8Row)))
        .got(std::string(layout_name(weight.layout())));
  }
  const std::string prefix = module_prefix(module);
  const Int8Row& packed = weight.as_int8_row();
  return {{prefix + "weight", packed.codes},
          {prefix + "SCB", packed.absmax},
          {prefix + "weight_format", Tensor::zeros(DType::kU8, {})}};
}

nlohmann::ordered_json LlmInt8Scheme::config_json() const {
  BitsAndBytesConfig written = config_;
  written.llm_int8_has_fp16_weight = false;
  return written.to_json();
}

}  // namespace nibble
