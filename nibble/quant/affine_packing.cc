// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/affine_packing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "nibble/base/error.h"
#include "nibble/quant/row_tasks.h"

namespace nibble {
namespace {

std::span<const uint8_t> row_of(const Tensor& matrix, int64_t row) {
  const auto width = static_cast<size_t>(matrix.dim(1));
  return matrix.data<uint8_t>().subspan(static_cast<size_t>(row) * width, width);
}

std::span<uint8_t> row_of(Tensor& matrix, int64_t row) {
  const auto width = static_cast<size_t>(matrix.dim(1));
  return matrix.mutable_data<uint8_t>().subspan(static_cast<size_t>(row) * width, width);
}

// In squares that stay in the first-level cache on both sides.
template <typename T>
void transpose_into(const Tensor& from, Tensor& to, ThreadPool* pool) {
  constexpr int64_t kSquare = 32;
  const int64_t rows = from.dim(0), cols = from.dim(1);
  const auto* source = reinterpret_cast<const T*>(from.raw());
  auto* target = reinterpret_cast<T*>(to.raw());
  const auto transpose_square = [&](int64_t r0, int64_t c0) {
    for (int64_t r = r0; r < std::min(rows, r0 + kSquare); ++r) {
      for (int64_t c = c0; c < std::min(cols, c0 + kSquare); ++c) {
        target[c * rows + r] = source[r * cols + c];
      }
    }
  };
  for_row_ranges(pool, block_count(cols, kSquare), kSquare * rows, [&](int64_t begin, int64_t end) {
    for (int64_t r0 = 0; r0 < rows; r0 += kSquare) {
      for (int64_t square = begin; square < end; ++square) transpose_square(r0, square * kSquare);
    }
  });
}

// The code whose -scale * zero, rounded to the dtype of the file, is `added`.
std::optional<float> zero_behind(float added, float scale, int64_t bits, DType dtype) {
  if (scale == 0.0f) return added == 0.0f ? std::optional(0.0f) : std::nullopt;
  const float zero = std::nearbyint(-added / scale);
  if (!(zero >= 0.0f && zero < static_cast<float>(1 << bits))) return std::nullopt;
  const Tensor product = to_dtype(Tensor::from<float>({-(scale * zero)}, {1}), dtype);
  if (to_dtype(product, DType::kF32).data<float>()[0] != added) return std::nullopt;
  return zero;
}

}  // namespace

Tensor unpack_code_matrix(const Tensor& codes, int64_t cols, int64_t bits, ThreadPool* pool) {
  Tensor matrix = Tensor::empty(DType::kU8, {codes.dim(0), cols});
  for_row_ranges(pool, codes.dim(0), cols, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      unpack_codes(row_of(codes, row), bits, row_of(matrix, row));
    }
  });
  return matrix;
}

Tensor pack_code_matrix(const Tensor& matrix, int64_t bits, ThreadPool* pool) {
  Tensor codes = Tensor::empty(DType::kU8, {matrix.dim(0), affine_row_bytes(matrix.dim(1), bits)});
  for_row_ranges(pool, matrix.dim(0), matrix.dim(1), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      pack_codes(row_of(matrix, row), bits, row_of(codes, row));
    }
  });
  return codes;
}

Tensor with_columns_in(ColumnOrder order, const Tensor& codes, const Tensor& positions,
                       int64_t bits, ThreadPool* pool) {
  const auto at = positions.data<int32_t>();
  Tensor out = Tensor::empty(DType::kU8, codes.shape());
  for_row_ranges(pool, codes.dim(0), positions.dim(0), [&](int64_t begin, int64_t end) {
    std::vector<uint8_t> from(at.size()), to(at.size());
    for (int64_t row = begin; row < end; ++row) {
      unpack_codes(row_of(codes, row), bits, from);
      for (size_t c = 0; c < at.size(); ++c) {
        const auto stored = static_cast<size_t>(at[c]);
        if (order == ColumnOrder::kStored) {
          to[stored] = from[c];
        } else {
          to[c] = from[stored];
        }
      }
      pack_codes(to, bits, row_of(out, row));
    }
  });
  return out;
}

Tensor transposed(const Tensor& matrix, ThreadPool* pool) {
  Tensor out = Tensor::empty(matrix.dtype(), {matrix.dim(1), matrix.dim(0)});
  switch (size_of(matrix.dtype())) {
    case 1:
      transpose_into<uint8_t>(matrix, out, pool);
      break;
    case 2:
      transpose_into<uint16_t>(matrix, out, pool);
      break;
    case 4:
      transpose_into<uint32_t>(matrix, out, pool);
      break;
    default:
      transpose_into<uint64_t>(matrix, out, pool);
      break;
  }
  return out;
}

Tensor floats_of_codes(const Tensor& codes) {
  Tensor out = Tensor::empty(DType::kF32, codes.shape());
  std::ranges::transform(codes.data<uint8_t>(), out.mutable_data<float>().begin(),
                         [](uint8_t code) { return static_cast<float>(code); });
  return out;
}

Weight with_unsigned_codes(const Weight& weight) {
  if (weight.layout() != Layout::kAffineGroup) return weight;
  AffineGroup packed = weight.as_affine_group();
  if (packed.codes.dtype() != DType::kI8) return weight;
  packed.codes = with_sign_bits_flipped(packed.codes, DType::kU8);
  const Tensor zeros = packed.zeros;
  packed.zeros = Tensor::empty(DType::kF32, zeros.shape());
  std::ranges::transform(zeros.data<float>(), packed.zeros.mutable_data<float>().begin(),
                         [](float zero) { return zero + 128.0f; });
  return Weight::affine_group(std::move(packed), weight.cols(), weight.dtype());
}

Tensor with_sign_bits_flipped(const Tensor& codes, DType dtype) {
  Tensor flipped = Tensor::empty(DType::kU8, codes.shape());
  const Tensor bytes = codes.reinterpret(DType::kU8, codes.shape());
  const auto from = bytes.data<uint8_t>();
  const auto to = flipped.mutable_data<uint8_t>();
  std::ranges::transform(from, to.begin(),
                         [](uint8_t code) { return static_cast<uint8_t>(code ^ 0x80); });
  return flipped.reinterpret(dtype, codes.shape());
}

std::optional<Tensor> zero_codes(const AffineGroup& weight) {
  Tensor out = Tensor::empty(DType::kU8, weight.zeros.shape());
  const auto zeros = weight.zeros.data<float>(), scales = weight.scales.data<float>();
  const auto codes = out.mutable_data<uint8_t>();
  for (size_t i = 0; i < zeros.size(); ++i) {
    std::optional<float> zero = zeros[i];
    if (weight.zero_form == ZeroForm::kAdded) {
      zero = zero_behind(zeros[i], scales[i], weight.bits, weight.scale_dtype);
    }
    const bool is_code = zero && *zero >= 0.0f && *zero < static_cast<float>(1 << weight.bits) &&
                         std::nearbyint(*zero) == *zero;
    if (!is_code) return std::nullopt;
    codes[i] = static_cast<uint8_t>(*zero);
  }
  return out;
}

Tensor read_scales(const ModuleReader& reader, std::string_view suffix, const Shape& shape,
                   DType& stored) {
  const Tensor found = reader.tensor(suffix);
  stored = found.dtype();
  const bool held = stored == DType::kF16 || stored == DType::kBF16 || stored == DType::kF32;
  if (!held || found.shape() != shape) {
    throw reader.error(suffix, "tensor has the wrong dtype or shape")
        .expected(fmt::format("float16, bfloat16 or float32 {}", to_string(shape)))
        .got(fmt::format("{} {}", torch_name(stored), to_string(found.shape())));
  }
  Tensor floats = to_dtype(found, DType::kF32);
  const auto values = floats.data<float>();
  const auto bad = std::ranges::find_if_not(values, [](float x) { return std::isfinite(x); });
  if (bad != values.end()) {
    throw reader.error(suffix, "tensor is not finite")
        .got(fmt::format("{} at index {}", *bad, bad - values.begin()));
  }
  return floats;
}

Error cannot_store(const std::string& tensor, std::string_view what) {
  Error error(fmt::format("cannot store this weight as {}", what));
  error.tensor(tensor);
  return error;
}

const AffineGroup& require_groups(const Weight& weight, const std::string& tensor,
                                  std::string_view what, std::optional<int64_t> bits) {
  if (weight.layout() != Layout::kAffineGroup) {
    throw cannot_store(tensor, what)
        .expected(std::string(layout_name(Layout::kAffineGroup)))
        .got(std::string(layout_name(weight.layout())));
  }
  const AffineGroup& packed = weight.as_affine_group();
  if (bits && packed.bits != *bits) {
    throw cannot_store(tensor, what)
        .expected(fmt::format("codes of {} bits", *bits))
        .got(std::to_string(packed.bits));
  }
  if (packed.scales.dim(0) != weight.rows()) {
    throw cannot_store(tensor, what)
        .expected("groups along the inputs")
        .got("groups across the outputs");
  }
  return packed;
}

void require_columns_in_order(const AffineGroup& packed, const std::string& tensor,
                              std::string_view what) {
  if (!packed.positions.defined()) return;
  throw cannot_store(tensor, what)
      .expected("groups of neighbouring columns")
      .got("act-order (desc_act), which this format cannot say");
}

void require_group_size(const AffineGroup& packed, int64_t group_size, const std::string& tensor,
                        std::string_view what) {
  if (packed.group_size == group_size) return;
  throw cannot_store(tensor, what)
      .expected(fmt::format("groups of {}", group_size))
      .got(std::to_string(packed.group_size));
}

int64_t resolved_group_size(int64_t group_size, int64_t cols) {
  return group_size == -1 ? std::max<int64_t>(1, cols) : group_size;
}

}  // namespace nibble
