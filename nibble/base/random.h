// SPDX-License-Identifier: Apache-2.0
//
// A seeded random stream that gives the same numbers on every platform. The engine is the standard
// library's; its distributions are not used because the standard leaves their results open.
#pragma once

#include <cstdint>
#include <random>

namespace nibble {

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  uint64_t next() { return engine_(); }
  // Uniform in [0, 1), 53 random bits.
  double uniform() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }
  // Standard normal (Box-Muller, one of the pair).
  float normal();

 private:
  std::mt19937_64 engine_;
};

}  // namespace nibble
