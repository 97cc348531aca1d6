// SPDX-License-Identifier: Apache-2.0
#include "nibble/base/random.h"

#include <cmath>
#include <numbers>

namespace nibble {

float Random::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return static_cast<float>(radius * std::cos(2.0 * std::numbers::pi * uniform()));
}

}  // namespace nibble
