// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "nibble/base/error.h"
#include "nibble/ops/rope.h"

namespace nibble {
namespace {

// theta^(2i/dim) for i in [0, dim/2).
std::vector<float> powers(float theta, int64_t dim) {
  std::vector<float> out;
  for (int64_t i = 0; i < dim; i += 2) {
    out.push_back(std::pow(theta, static_cast<float>(i) / static_cast<float>(dim)));
  }
  return out;
}

std::vector<float> inverse_powers(float theta, int64_t dim) {
  std::vector<float> out = powers(theta, dim);
  for (float& x : out) x = 1.0f / x;
  return out;
}

std::vector<float> linear_scaling(const RopeConfig& config, int64_t dim) {
  std::vector<float> out = inverse_powers(static_cast<float>(config.rope_theta), dim);
  for (float& x : out) x /= static_cast<float>(config.factor);
  return out;
}

// Dynamic NTK: theta grows with the sequence once it is longer than the model was trained for.
std::vector<float> dynamic_ntk(const RopeConfig& config, int64_t dim, int64_t length) {
  auto theta = static_cast<float>(config.rope_theta);
  if (length > config.max_position_embeddings) {
    const auto factor = static_cast<float>(config.factor);
    const float stretch =
        factor * static_cast<float>(length) / static_cast<float>(config.max_position_embeddings) -
        static_cast<float>(config.factor - 1.0);
    const double exponent = static_cast<double>(dim) / static_cast<double>(dim - 2);
    theta *= std::pow(stretch, static_cast<float>(exponent));
  }
  return inverse_powers(theta, dim);
}

// Llama 3.1: long wavelengths are stretched by `factor`, short ones stay, those between go over
// smoothly.
std::vector<float> llama3(const RopeConfig& config, int64_t dim, int64_t original_max) {
  const auto factor = static_cast<float>(config.factor);
  const auto low = static_cast<float>(config.low_freq_factor);
  const auto context = static_cast<float>(original_max);
  const auto band = static_cast<float>(config.high_freq_factor - config.low_freq_factor);
  const auto longest =
      static_cast<float>(static_cast<double>(original_max) / config.low_freq_factor);
  const auto shortest =
      static_cast<float>(static_cast<double>(original_max) / config.high_freq_factor);
  std::vector<float> out = inverse_powers(static_cast<float>(config.rope_theta), dim);
  for (float& x : out) {
    const float wavelength = 1.0f / x * (2.0f * std::numbers::pi_v<float>);
    if (wavelength > longest) {
      x /= factor;
    } else if (!(wavelength < shortest)) {
      const float smooth = (1.0f / wavelength * context - low) / band;
      x = (1.0f - smooth) * x / factor + smooth * x;
    }
  }
  return out;
}

double yarn_mscale(double factor, double mscale) {
  return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

float yarn_attention_factor(const RopeConfig& config) {
  if (config.attention_factor) return static_cast<float>(*config.attention_factor);
  const double mscale = config.mscale.value_or(0.0), all_dim = config.mscale_all_dim.value_or(0.0);
  if (mscale != 0.0 && all_dim != 0.0) {
    return static_cast<float>(yarn_mscale(config.factor, mscale) /
                              yarn_mscale(config.factor, all_dim));
  }
  return static_cast<float>(yarn_mscale(config.factor, 1.0));
}

// YaRN (arXiv 2309.00071, section 3.2): dimensions that turn often within the pretraining context
// keep their frequency, those that turn less than once are interpolated, with a ramp between.
std::vector<float> yarn(const RopeConfig& config, int64_t dim, int64_t original_max) {
  // The (fractional) dimension that makes `rotations` turns over the pretraining context.
  const auto dimension_of = [&](double rotations) {
    const double wavelengths =
        static_cast<double>(original_max) / (rotations * 2.0 * std::numbers::pi);
    return static_cast<double>(dim) * std::log(wavelengths) / (2.0 * std::log(config.rope_theta));
  };
  double low = dimension_of(config.beta_fast), high = dimension_of(config.beta_slow);
  if (config.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(dim - 1));
  if (low == high) high += 0.001;  // no division by zero

  std::vector<float> out = powers(static_cast<float>(config.rope_theta), dim);
  for (size_t i = 0; i < out.size(); ++i) {
    const float ramp =
        (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low);
    const float keep = 1.0f - std::clamp(ramp, 0.0f, 1.0f);
    const float interpolated = 1.0f / (static_cast<float>(config.factor) * out[i]);
    out[i] = interpolated * (1.0f - keep) + 1.0f / out[i] * keep;
  }
  return out;
}

}  // namespace

RopeFrequencies rope_frequencies(const RopeConfig& config, int64_t head_dim, int64_t length) {
  const auto dim =
      static_cast<int64_t>(static_cast<double>(head_dim) * config.partial_rotary_factor);
  if (dim < 2 || dim % 2 != 0 || dim > head_dim) {
    throw Error("rope needs an even number of rotated dimensions")
        .expected(fmt::format("2 to {}", head_dim))
        .got(std::to_string(dim));
  }
  const int64_t original_max = config.original_max_position_embeddings > 0
                                   ? config.original_max_position_embeddings
                                   : config.max_position_embeddings;
  RopeFrequencies result;
  if (config.rope_type == "default") {
    result.inv_freq = inverse_powers(static_cast<float>(config.rope_theta), dim);
  } else if (config.rope_type == "linear") {
    result.inv_freq = linear_scaling(config, dim);
  } else if (config.rope_type == "dynamic") {
    result.inv_freq = dynamic_ntk(config, dim, length);
  } else if (config.rope_type == "llama3") {
    result.inv_freq = llama3(config, dim, original_max);
  } else if (config.rope_type == "yarn") {
    result.inv_freq = yarn(config, dim, original_max);
    result.attention_scaling = yarn_attention_factor(config);
  } else {
    throw Error("rope_type is not supported")
        .expected("default, linear, dynamic, llama3 or yarn")
        .got(config.rope_type);
  }
  const bool finite =
      std::ranges::all_of(result.inv_freq, [](float x) { return std::isfinite(x); });
  if (!finite || !std::isfinite(result.attention_scaling)) {
    throw Error("rope parameters give no finite frequencies")
        .expected("a positive rope_theta, factor and context length")
        .got(fmt::format("rope_type {}, rope_theta {}, factor {}, {} positions", config.rope_type,
                         config.rope_theta, config.factor, original_max));
  }
  return result;
}

}  // namespace nibble
