// SPDX-License-Identifier: Apache-2.0
//
// Stretches of a weight row as floats: the first half of every path that is not fused, and of
// embedding look-ups. Bit for bit what format/ decodes, in the order of stored columns.
#include <algorithm>
#include <cmath>

#include "nibble/backend/cpu/block_scales.h"
#include "nibble/backend/cpu/linear_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/decode.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nibble/backend/cpu/affine_codes-inl.h"
#include "nibble/backend/cpu/codebook-inl.h"
#include "nibble/backend/cpu/float8_halves-inl.h"
#include "nibble/backend/cpu/float_load-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// out = from * scale; codes that share a scale, or dense elements with scale 1.
template <class T>
HWY_INLINE void decode_scaled(const T* HWY_RESTRICT from, int64_t count, float scale,
                              float* HWY_RESTRICT out) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto factor = hn::Set(d, scale);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::Mul(load_floats(d, from + i), factor), d, out + i);
  }
  for (; i < count; ++i) out[i] = load_float(from + i) * scale;
}

// The same of 8-bit floats, as many of them as whole pairs of vectors hold: how many were decoded.
// The scale takes up what a half's unit leaves, exactly while it is not huge.
template <class T>
HWY_INLINE int64_t decode_by_halves([[maybe_unused]] const T* HWY_RESTRICT from,
                                    [[maybe_unused]] int64_t count, [[maybe_unused]] float scale,
                                    [[maybe_unused]] float* HWY_RESTRICT out) {
  int64_t i = 0;
#if NIBBLE_CPU_FLOAT8_HALVES
  if (!(std::fabs(scale) < 0x1p100f)) return 0;
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto factor = hn::Set(d, scale / float8_unit<T>());
  Float8Nan<T> nan;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const Float8Pair values = load_float8_pair(from + i, nan);
    hn::StoreU(hn::Mul(values.low, factor), d, out + i);
    hn::StoreU(hn::Mul(values.high, factor), d, out + i + lanes);
  }
  if (nan.any()) return 0;  // which the other way decodes
#endif
  return i;
}

// Columns [col, col + count) of a row of float8_block, block by block.
template <class T>
HWY_INLINE void decode_float8(const WeightView& weight, int64_t row, int64_t col, int64_t count,
                              float* out) {
  const Float8Block& packed = *weight.float8;
  const T* codes = static_cast<const T*>(weight.elements) + row * weight.cols;
  const float* scales =
      packed.scales.data<float>().data() + row / packed.block_rows * packed.scales.dim(1);
  const int64_t end = col + count;
  while (col < end) {
    const int64_t run = std::min(end - col, packed.block_cols - col % packed.block_cols);
    const float scale = scales[col / packed.block_cols];
    const int64_t done = decode_by_halves(codes + col, run, scale, out);
    decode_scaled(codes + col + done, run - done, scale, out + done);
    col += run;
    out += run;
  }
}

// Codes of elements [begin, begin + count) of one block, looked up in `values` [16] and made
// weights by finish(tag, value).
template <class Finish>
HWY_INLINE void decode_codes(const CodeBlockView& block, const float* values, int64_t begin,
                             int64_t count, const Finish& finish, float* HWY_RESTRICT out) {
  const bool low_first = block.low_nibble_first;
  const auto decode_one = [&](int64_t element) HWY_ATTR {
    const hn::CappedTag<float, 1> d;
    const int pair = block.codes[element / 2];
    const bool high = (element % 2 == 0) != low_first;
    return hn::GetLane(finish(d, hn::Set(d, values[high ? pair >> 4 : pair & 15])));
  };
  const int64_t end = begin + count;
  if (begin < end && begin % 2 != 0) *out++ = decode_one(begin++);
#if HWY_TARGET != HWY_SCALAR
  constexpr int64_t kGroup = 32;  // 16 bytes: the result comes out in order
  if (begin + kGroup <= end) {
    const hn::FixedTag<uint8_t, 16> d8;
    const hn::FixedTag<float, 4> d;
    const Codebook<decltype(d8)> codebook(values);
    const auto low_nibble = hn::Set(d8, uint8_t{0x0f});
    for (; begin + kGroup <= end; begin += kGroup) {
      const auto packed = hn::LoadU(d8, block.codes + begin / 2);
      const auto high = hn::ShiftRight<4>(packed), low = hn::And(packed, low_nibble);
      const auto even = low_first ? low : high, odd = low_first ? high : low;
      const auto first = codebook.lookup(hn::InterleaveLower(d8, even, odd));
      const auto second = codebook.lookup(hn::InterleaveUpper(d8, even, odd));
      hn::StoreU(finish(d, first.v0), d, out);
      hn::StoreU(finish(d, first.v1), d, out + 4);
      hn::StoreU(finish(d, first.v2), d, out + 8);
      hn::StoreU(finish(d, first.v3), d, out + 12);
      hn::StoreU(finish(d, second.v0), d, out + 16);
      hn::StoreU(finish(d, second.v1), d, out + 20);
      hn::StoreU(finish(d, second.v2), d, out + 24);
      hn::StoreU(finish(d, second.v3), d, out + 28);
      out += kGroup;
    }
  }
#endif
  while (begin < end) *out++ = decode_one(begin++);
}

// A stretch of columns with one scale and zero: how a code becomes a weight is a tag's operator.
template <class Body>
HWY_INLINE void with_zero_form(ZeroForm form, float scale, float zero, const Body& body) {
  if (form == ZeroForm::kAdded) {
    body([=](auto d, auto code)
             HWY_ATTR { return hn::Add(hn::Mul(hn::Set(d, scale), code), hn::Set(d, zero)); });
  } else {
    body([=](auto d, auto code)
             HWY_ATTR { return hn::Mul(hn::Set(d, scale), hn::Sub(code, hn::Set(d, zero))); });
  }
}

// Scales and zeros of the groups of a row, from that of stored column `col` on.
struct AffineGroups {
  const AffineGroup& weight;
  int64_t col;
  const float *scales, *zeros;
};

// Stored columns [begin, end), whose codes stand from `codes` on.
template <class T>
HWY_INLINE void decode_groups(const AffineGroups& groups, const T* HWY_RESTRICT codes,
                              int64_t begin, int64_t end, float* HWY_RESTRICT out) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> one;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d)), size = groups.weight.group_size;
  for (int64_t at = begin; at < end;) {
    const int64_t group = at / size - groups.col / size;
    const int64_t stop = end - at > size - at % size ? at + size - at % size : end;
    with_zero_form(groups.weight.zero_form, groups.scales[group], groups.zeros[group],
                   [&](const auto& finish) HWY_ATTR {
                     for (; at + lanes <= stop; at += lanes, out += lanes) {
                       hn::StoreU(finish(d, load_floats(d, codes + (at - begin))), d, out);
                     }
                     for (; at < stop; ++at, ++out) {
                       hn::StoreU(finish(one, load_floats(one, codes + (at - begin))), one, out);
                     }
                   });
  }
}

// Stored columns [col, col + count) of a row of affine_group, of any number of bits and any group.
void decode_affine(const AffineGroup& weight, int64_t row, int64_t col, int64_t count,
                   float* HWY_RESTRICT out, DecodeScratch& scratch) {
  const int64_t row_bytes = weight.codes.dim(1), size = weight.group_size, end = col + count;
  const auto* codes = static_cast<const uint8_t*>(weight.codes.raw()) + row * row_bytes;
  const int64_t first = row % weight.scales.dim(0) * weight.scales.dim(1) + col / size;
  const int64_t count_of_groups = (end - 1) / size - col / size + 1;
  const DType dtype = weight.scales.dtype();
  const AffineGroups groups = {
      weight, col, floats_at(weight.scales.raw(), dtype, first, count_of_groups, scratch.absmax),
      floats_at(weight.zeros.raw(), dtype, first, count_of_groups, scratch.zeros)};
  if (weight.codes.dtype() == DType::kI8) {
    return decode_groups(groups, reinterpret_cast<const int8_t*>(codes) + col, col, end, out);
  }
  if (weight.bits == 8) return decode_groups(groups, codes + col, col, end, out);
  constexpr int64_t kPart = 256;  // codes that are bytes for a moment
  uint8_t bytes[kPart];
  for (int64_t at = col; at < end;) {
    const int64_t begin = at / 8 * 8, stop = std::min(begin + kPart, end);
    unpack_codes(codes, row_bytes, weight.bits, begin, stop - begin, bytes);
    decode_groups(groups, bytes + (at - begin), at, stop, out);
    out += stop - at;
    at = stop;
  }
}

void DecodeColumns(const WeightView& weight, int64_t row, int64_t col, int64_t count, float* out,
                   DecodeScratch& scratch) {
  const int64_t begin = row * weight.cols + col;
  if (count <= 0) return;
  if (weight.layout == Layout::kDense) {
    switch (weight.dtype) {
      case DType::kF16:
        return decode_scaled(static_cast<const fp16*>(weight.elements) + begin, count, 1.0f, out);
      case DType::kBF16:
        return decode_scaled(static_cast<const bf16*>(weight.elements) + begin, count, 1.0f, out);
      default:
        return decode_scaled(static_cast<const float*>(weight.elements) + begin, count, 1.0f, out);
    }
  }
  if (weight.layout == Layout::kInt8Row) {
    return decode_scaled(static_cast<const int8_t*>(weight.elements) + begin, count,
                         weight.row_absmax[row] / kInt8Max, out);
  }
  if (weight.layout == Layout::kFloat8Block) {
    if (weight.dtype == DType::kF8E4M3)
      return decode_float8<fp8_e4m3>(weight, row, col, count, out);
    return decode_float8<fp8_e5m2>(weight, row, col, count, out);
  }
  if (weight.affine && !weight.block.codes) {
    return decode_affine(*weight.affine, row, col, count, out, scratch);
  }
  const int64_t size = weight.block.block_size, first = begin / size;
  const int64_t blocks = (begin + count - 1) / size - first + 1;
  const float* scales = absmax_of(weight.block, first, blocks, scratch.absmax);
  const float* zeros =
      weight.block.zeros ? zeros_of(weight.block, first, blocks, scratch.zeros) : nullptr;
  constexpr float kCodes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  int64_t element = begin;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t stop = std::min((first + i + 1) * size, begin + count);
    const auto run = [&](const float* values, const auto& finish) HWY_ATTR {
      decode_codes(weight.block, values, element, stop - element, finish, out + (element - begin));
    };
    const float scale = scales[i];
    const float zero = zeros ? zeros[i] : 0.0f;
    if (!zeros) {
      run(weight.block.codebook,
          [=](auto d, auto value) HWY_ATTR { return hn::Mul(value, hn::Set(d, scale)); });
    } else {
      with_zero_form(weight.block.zero_form, scale, zero,
                     [&](const auto& finish) { run(kCodes, finish); });
    }
    element = stop;
  }
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(DecodeColumns);

void decode_columns(const WeightView& weight, int64_t row, int64_t col, int64_t count, float* out,
                    DecodeScratch& scratch) {
  HWY_DYNAMIC_DISPATCH(DecodeColumns)(weight, row, col, count, out, scratch);
}
}  // namespace nibble::cpu
#endif
