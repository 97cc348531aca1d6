// SPDX-License-Identifier: Apache-2.0
//
// The register tile of every float matrix product: up to six broadcast rows times two vectors.
// Twelve sums, two vectors and one broadcast fill the sixteen registers of AVX2, and twelve
// independent sums hide the latency of the multiply-add.
#if defined(NIBBLE_CPU_MICRO_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NIBBLE_CPU_MICRO_GEMM_INL_H_
#undef NIBBLE_CPU_MICRO_GEMM_INL_H_
#else
#define NIBBLE_CPU_MICRO_GEMM_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64
inline constexpr int kTileRows = 12;  // of thirty-two registers
#else
inline constexpr int kTileRows = 6;
#endif

// Columns of a full tile: two vectors.
HWY_INLINE int64_t tile_columns() {
  return 2 * static_cast<int64_t>(hn::Lanes(hn::ScalableTag<float>()));
}

struct TileArgs {
  const float* a;  // a[row * row_stride + k * k_stride]
  int64_t row_stride, k_stride;
  const float* b;  // [depth, kVectors * lanes], aligned to a vector
  int64_t depth;
  float* c;  // c[row * c_stride + column], aligned to a vector
  int64_t c_stride;
  bool add;  // c += a b; otherwise c = a b
};

template <int kRows, int kVectors>
HWY_INLINE void multiply_tile(const TileArgs& args) {
  static_assert(kVectors == 1 || kVectors == 2);
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  hn::Vec<decltype(d)> sum0[kRows], sum1[kRows];
  HWY_UNROLL(12)
  for (int r = 0; r < kRows; ++r) sum0[r] = sum1[r] = hn::Zero(d);
  const float* HWY_RESTRICT a = args.a;
  const float* HWY_RESTRICT b = args.b;
  const int64_t row_stride = args.row_stride, k_stride = args.k_stride;
  for (int64_t k = 0; k < args.depth; ++k) {
    const auto b0 = hn::Load(d, b), b1 = hn::Load(d, b + (kVectors - 1) * lanes);
    HWY_UNROLL(12)
    for (int r = 0; r < kRows; ++r) {
      const auto value = hn::Set(d, a[r * row_stride]);
      sum0[r] = hn::MulAdd(value, b0, sum0[r]);
      if constexpr (kVectors == 2) sum1[r] = hn::MulAdd(value, b1, sum1[r]);
    }
    a += k_stride;
    b += kVectors * lanes;
  }
  HWY_UNROLL(12)
  for (int r = 0; r < kRows; ++r) {
    float* c = args.c + r * args.c_stride;
    if (args.add) sum0[r] = hn::Add(sum0[r], hn::Load(d, c));
    hn::Store(sum0[r], d, c);
    if constexpr (kVectors == 2) {
      if (args.add) sum1[r] = hn::Add(sum1[r], hn::Load(d, c + lanes));
      hn::Store(sum1[r], d, c + lanes);
    }
  }
}

// The same for any number of rows.
template <int kVectors>
HWY_INLINE void multiply_rows(TileArgs args, int64_t rows) {
  const auto advance = [&](int64_t count) {
    args.a += count * args.row_stride;
    args.c += count * args.c_stride;
    rows -= count;
  };
  while (rows >= kTileRows) {
    multiply_tile<kTileRows, kVectors>(args);
    advance(kTileRows);
  }
  while (rows >= 2) {
    multiply_tile<2, kVectors>(args);
    advance(2);
  }
  if (rows == 1) multiply_tile<1, kVectors>(args);
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
