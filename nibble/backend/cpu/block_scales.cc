// SPDX-License-Identifier: Apache-2.0
#include "nibble/backend/cpu/block_scales.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/block_scales.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nibble/backend/cpu/float_load-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class T>
HWY_INLINE void widen(const T* HWY_RESTRICT from, int64_t count, float* HWY_RESTRICT out) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(load_floats(d, from + i), d, out + i);
  for (; i < count; ++i) out[i] = load_float(from + i);
}

void WidenBF16(const bf16* from, int64_t count, float* out) { widen(from, count, out); }
void WidenF16(const fp16* from, int64_t count, float* out) { widen(from, count, out); }

#if HWY_TARGET <= HWY_AVX3
// A table of 256 floats in registers: eight look-ups among 32 and seven choices take half as long
// as a gather.
class WideTable {
 public:
  HWY_INLINE explicit WideTable(const float* values) {
    HWY_UNROLL(16)
    for (int i = 0; i < 16; ++i) part_[i] = hn::LoadU(hn::Full512<float>(), values + 16 * i);
  }

  HWY_INLINE hn::Vec512<float> look_up(hn::Vec512<int32_t> index) const {
    const hn::Full512<float> d;
    const hn::Full512<int32_t> d32;
    const auto of = [&](int k) HWY_ATTR {  // the instruction reads the lowest five bits
      return hn::Vec512<float>{
          _mm512_permutex2var_ps(part_[2 * k].raw, index.raw, part_[2 * k + 1].raw)};
    };
    const auto bit = [&](int32_t value) HWY_ATTR {
      return hn::RebindMask(d, hn::TestBit(index, hn::Set(d32, value)));
    };
    const auto bit5 = bit(32), bit6 = bit(64), bit7 = bit(128);
    const auto quarter = [&](int k) HWY_ATTR { return hn::IfThenElse(bit5, of(k + 1), of(k)); };
    const auto low = hn::IfThenElse(bit6, quarter(2), quarter(0));
    const auto high = hn::IfThenElse(bit6, quarter(6), quarter(4));
    return hn::IfThenElse(bit7, high, low);
  }

 private:
  hn::Vec512<float> part_[16];
};
#else
class WideTable {
 public:
  HWY_INLINE explicit WideTable(const float* values) : values_(values) {}
  template <class VI>
  HWY_INLINE hn::Vec<hn::ScalableTag<float>> look_up(VI index) const {
    return hn::GatherIndex(hn::ScalableTag<float>(), values_, index);
  }

 private:
  const float* values_;
};
#endif

// out = codebook[code] * scale + offset, each operation rounded.
void LookUpAbsmax(const uint8_t* HWY_RESTRICT codes, const float* HWY_RESTRICT codebook,
                  int64_t count, float scale, float offset, float* HWY_RESTRICT out) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  const hn::RebindToSigned<decltype(d)> d32;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const WideTable table(codebook);
  for (; i + lanes <= count; i += lanes) {
    const auto values = table.look_up(hn::PromoteTo(d32, hn::LoadU(d8, codes + i)));
    const auto products = hn::Mul(values, hn::Set(d, scale));
    hn::StoreU(hn::Add(products, hn::Set(d, offset)), d, out + i);
  }
  for (; i < count; ++i) out[i] = codebook[codes[i]] * scale + offset;
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(WidenBF16);
HWY_EXPORT(WidenF16);
HWY_EXPORT(LookUpAbsmax);

const float* floats_at(const void* from, DType dtype, int64_t begin, int64_t count,
                       std::vector<float>& scratch) {
  if (dtype == DType::kF32) return static_cast<const float*>(from) + begin;
  scratch.resize(static_cast<size_t>(count));
  if (dtype == DType::kBF16) {
    HWY_DYNAMIC_DISPATCH(WidenBF16)(static_cast<const bf16*>(from) + begin, count, scratch.data());
  } else {
    HWY_DYNAMIC_DISPATCH(WidenF16)(static_cast<const fp16*>(from) + begin, count, scratch.data());
  }
  return scratch.data();
}

const float* absmax_of(const CodeBlockView& block, int64_t begin, int64_t count,
                       std::vector<float>& scratch) {
  if (block.absmax) return floats_at(block.absmax, block.scale_dtype, begin, count, scratch);
  scratch.resize(static_cast<size_t>(count));
  for (int64_t i = 0; i < count;) {
    const int64_t outer = (begin + i) / block.nested_block_size;
    const int64_t stop = std::min((outer + 1) * block.nested_block_size - begin, count);
    HWY_DYNAMIC_DISPATCH(LookUpAbsmax)
    (block.nested_codes + begin + i, block.nested_codebook, stop - i, block.nested_absmax[outer],
     block.nested_offset, scratch.data() + i);
    i = stop;
  }
  return scratch.data();
}

const float* zeros_of(const CodeBlockView& block, int64_t begin, int64_t count,
                      std::vector<float>& scratch) {
  return floats_at(block.zeros, block.scale_dtype, begin, count, scratch);
}

}  // namespace nibble::cpu
#endif
