// SPDX-License-Identifier: Apache-2.0
//
// Activations of weights that are not int8_row when they become int8 (ActivationMode::kInt8): each
// token in groups of columns with a scale of their own, x = code * scale, as llama.cpp's Q8_0 does
// for 32. This is the specification that backends follow; kernels sum code products exactly.
#pragma once

#include <cstdint>
#include <span>

namespace nibble {

// Columns that share a scale, counted from the token's first; the last group may be short.
inline constexpr int64_t kInt8ActivationGroup = 64;

// One group as int8 would give it back: scale = absmax / 127, round-half-even(x * (1 / scale)) *
// scale. NaN when it holds NaN or infinity, 0 when no magnitude reaches 2^-100.
void round_int8_group(std::span<const float> x, std::span<float> out);

// One token. `positions` (of AffineGroup; else empty) says where columns are stored: groups are of
// stored columns.
void round_int8_activations(std::span<const float> x, std::span<const int32_t> positions,
                            std::span<float> out);

// The value of a codebook that kernels of int8 activations multiply: the nearest of 255 steps of
// the codebook's largest magnitude.
float round_int8_value(float value, float largest);

}  // namespace nibble
