// SPDX-License-Identifier: Apache-2.0
#include "nibble/format/int8_activations.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "nibble/format/int8_row.h"
#include "nibble/format/magnitude.h"

namespace nibble {

void round_int8_group(std::span<const float> x, std::span<float> out) {
  const float absmax = max_magnitude(x);
  constexpr float kSmallest = 0x1p-100f;  // the inverse of its scale is finite
  if (!(absmax <= std::numeric_limits<float>::max())) {
    std::ranges::fill(out, std::numeric_limits<float>::quiet_NaN());
  } else if (absmax < kSmallest) {
    std::ranges::fill(out, 0.0f);
  } else {
    const float scale = absmax / kInt8Max, inverse = 1.0f / scale;
    for (size_t i = 0; i < x.size(); ++i) out[i] = std::nearbyint(x[i] * inverse) * scale;
  }
}

void round_int8_activations(std::span<const float> x, std::span<const int32_t> positions,
                            std::span<float> out) {
  constexpr auto kGroup = static_cast<size_t>(kInt8ActivationGroup);
  std::vector<float> stored(positions.size());
  for (size_t c = 0; c < positions.size(); ++c) stored[static_cast<size_t>(positions[c])] = x[c];
  const std::span<const float> in = positions.empty() ? x : stored;
  const std::span<float> to = positions.empty() ? out : stored;
  for (size_t begin = 0; begin < x.size(); begin += kGroup) {
    const size_t count = std::min(kGroup, x.size() - begin);
    round_int8_group(in.subspan(begin, count), to.subspan(begin, count));
  }
  for (size_t c = 0; c < positions.size(); ++c) out[c] = stored[static_cast<size_t>(positions[c])];
}

float round_int8_value(float value, float largest) {
  return std::nearbyint(value * (kInt8Max / largest)) * (largest / kInt8Max);
}

}  // namespace nibble
