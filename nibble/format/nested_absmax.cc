// SPDX-License-Identifier: Apache-2.0
//
// The second level of double quantization: code_block.h's absmax, quantized to 8 bits.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/base/vectorize.h"
#include "nibble/format/code_block.h"
#include "nibble/format/magnitude.h"

namespace nibble {
namespace {

constexpr int64_t kNestedBlockSize = 256;  // the only one that bitsandbytes writes

// Positive values of decade i - 6: [0.1, 1] is cut into 2^i equal intervals, and each midpoint,
// scaled by the power of ten, becomes a value. Every step rounds to float as in torch, whose
// linspace counts from the nearer end and fuses product and sum.
void append_decade(int i, std::vector<float>& values) {
  constexpr std::array<float, 7> kScale = {1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f, 1e-1f, 1.0f};
  const int intervals = 1 << i;
  const float step = (1.0f - 0.1f) / static_cast<float>(intervals);
  const auto boundary = [&](int k) {
    return k < (intervals + 1) / 2 ? std::fma(step, static_cast<float>(k), 0.1f)
                                   : std::fma(-step, static_cast<float>(intervals - k), 1.0f);
  };
  for (int k = 0; k < intervals; ++k) {
    const float mean = (boundary(k) + boundary(k + 1)) / 2.0f;
    values.push_back(kScale[static_cast<size_t>(i)] * mean);
  }
}

std::array<float, 256> build_dynamic_map_signed() {
  std::vector<float> positive;
  for (int i = 0; i < 7; ++i) append_decade(i, positive);
  std::array<float, 256> map{};  // 127 negative values, 0, 127 positive values, 1
  for (size_t i = 0; i < positive.size(); ++i) {
    map[i] = -positive[i];
    map[127 + 1 + i] = positive[i];
  }
  map[255] = 1.0f;
  std::sort(map.begin(), map.end());
  return map;
}

// The least value that is coded as i + 1: the midpoint, which goes to the even one of two codes, or
// the next float above it.
std::array<float, 255> build_dynamic_thresholds() {
  const auto& map = dynamic_map_signed();
  std::array<float, 255> thresholds;
  for (size_t i = 0; i < thresholds.size(); ++i) {
    const float midpoint = (map[i] + map[i + 1]) * 0.5f;
    thresholds[i] = i % 2 == 0 ? std::nextafter(midpoint, 2.0f) : midpoint;
  }
  return thresholds;
}

const std::array<float, 255>& dynamic_thresholds() {
  static const std::array<float, 255> thresholds = build_dynamic_thresholds();
  return thresholds;
}

// How many of the ascending thresholds v has reached, by halving without branches; none by NaN.
NIBBLE_INLINE int32_t count_reached(const std::array<float, 255>& thresholds, float v) {
  int32_t count = 0;
  for (int32_t step = 128; step > 0; step /= 2) {
    count += v >= thresholds[static_cast<size_t>(count + step - 1)] ? step : 0;
  }
  return count;
}

NIBBLE_VECTORIZED void encode_dynamic(const std::array<float, 255>& thresholds,
                                      std::span<const float> values, float factor, uint8_t* codes) {
  for (size_t i = 0; i < values.size(); ++i) {
    codes[i] = static_cast<uint8_t>(count_reached(thresholds, values[i] * factor));
  }
}

}  // namespace

const std::array<float, 256>& dynamic_map_signed() {
  static const std::array<float, 256> map = build_dynamic_map_signed();
  return map;
}

uint8_t encode_dynamic_signed(float v) {
  return static_cast<uint8_t>(count_reached(dynamic_thresholds(), v));
}

float mean_absmax(std::span<const float> absmax) {
  if (absmax.empty()) return 0.0f;
  double sum = 0.0;
  for (const float value : absmax) sum += value;
  return static_cast<float>(sum / static_cast<double>(absmax.size()));
}

NestedAbsmax encode_nested_absmax(std::span<const float> absmax) {
  return encode_nested_absmax(absmax, mean_absmax(absmax));
}

NestedAbsmax encode_nested_absmax(std::span<const float> absmax, float offset) {
  const auto count = static_cast<int64_t>(absmax.size());
  const int64_t blocks = block_count(count, kNestedBlockSize);
  const auto& map = dynamic_map_signed();
  const auto& thresholds = dynamic_thresholds();
  NestedAbsmax nested;
  nested.codes = Tensor::empty(DType::kU8, {count});
  nested.absmax = Tensor::empty(DType::kF32, {blocks});
  nested.codebook = Tensor::from<float>({map.begin(), map.end()}, {256});
  nested.block_size = kNestedBlockSize;
  nested.offset = offset;
  const auto codes = nested.codes.mutable_data<uint8_t>();
  const auto scales = nested.absmax.mutable_data<float>();
  std::array<float, kNestedBlockSize> centred;
  for (size_t block = 0; block < scales.size(); ++block) {
    const size_t begin = block * centred.size();
    const size_t size = std::min(centred.size(), absmax.size() - begin);
    for (size_t i = 0; i < size; ++i) centred[i] = absmax[begin + i] - offset;
    scales[block] = flush_subnormal(max_magnitude({centred.data(), size}));
    uint8_t* out = codes.data() + begin;
    if (scales[block] == 0.0f) {
      std::fill_n(out, size, uint8_t{0});
    } else {
      encode_dynamic(thresholds, {centred.data(), size}, 1.0f / scales[block], out);
    }
  }
  return nested;
}

void decode_absmax(const CodeBlock& weight, int64_t begin, std::span<float> out) {
  const Tensor& stored = weight.nested ? weight.nested->codes : weight.absmax;
  const auto count = static_cast<int64_t>(out.size());
  if (begin < 0 || begin > stored.numel() || count > stored.numel() - begin) {
    throw Error("blocks out of range")
        .expected(fmt::format("blocks of [0, {})", stored.numel()))
        .got(fmt::format("{} blocks from {}", count, begin));
  }
  if (!weight.nested) {
    return read_floats(weight.absmax, begin, out);
  }
  const NestedAbsmax& nested = *weight.nested;
  const auto codes = nested.codes.data<uint8_t>();
  const auto scales = nested.absmax.data<float>();
  const auto codebook = nested.codebook.data<float>();
  for (int64_t i = begin; i < begin + count; ++i) {
    const float scale = scales[static_cast<size_t>(i / nested.block_size)];
    const float product = codebook[codes[static_cast<size_t>(i)]] * scale;
    out[static_cast<size_t>(i - begin)] = product + nested.offset;
  }
}

}  // namespace nibble
