// SPDX-License-Identifier: Apache-2.0
#include "nibble/base/reference_random.h"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <utility>

namespace nibble {
namespace {

// Words of 32 bits of a seed, the low ones first, as both libraries take an integer.
std::vector<uint32_t> words_of(uint64_t seed) {
  std::vector<uint32_t> words = {static_cast<uint32_t>(seed)};
  if (seed >> 32 != 0) words.push_back(static_cast<uint32_t>(seed >> 32));
  return words;
}

// init_by_array() of the Mersenne Twister's authors (2002), in the form of a seed sequence: the
// engine takes what it is given as its state.
class PythonSeed {
 public:
  using result_type = uint32_t;
  explicit PythonSeed(uint64_t seed) : key_(words_of(seed)) {}

  template <typename It>
  void generate(It begin, It end) const {
    const auto n = static_cast<size_t>(end - begin);
    std::vector<uint32_t> state(n);
    state[0] = 19650218u;
    for (size_t i = 1; i < n; ++i) state[i] = 1812433253u * folded(state, i) + uint32_t(i);
    size_t i = 1, j = 0;
    const auto step = [&] {
      if (++i == n) {
        state[0] = state[n - 1];
        i = 1;
      }
    };
    for (size_t k = std::max(n, key_.size()); k > 0; --k, step(), j = (j + 1) % key_.size()) {
      state[i] = (state[i] ^ folded(state, i) * 1664525u) + key_[j] + static_cast<uint32_t>(j);
    }
    for (size_t k = n - 1; k > 0; --k, step()) {
      state[i] = (state[i] ^ folded(state, i) * 1566083941u) - static_cast<uint32_t>(i);
    }
    state[0] = 0x80000000u;
    std::ranges::copy(state, begin);
  }

 private:
  static uint32_t folded(const std::vector<uint32_t>& state, size_t i) {
    return state[i - 1] ^ state[i - 1] >> 30;
  }

  std::vector<uint32_t> key_;
};

std::mt19937 python_engine(uint64_t seed) {
  PythonSeed sequence(seed);
  return std::mt19937(sequence);
}

// NumPy's SeedSequence without a spawn key: a pool of four words that all words of the seed reach.
class NumpySeed {
 public:
  explicit NumpySeed(uint64_t seed) {
    const std::vector<uint32_t> words = words_of(seed);
    uint32_t constant = 0x43b0d7e5u;
    const auto hashed = [&](uint32_t value) {
      value ^= constant;
      constant *= 0x931e8875u;
      value *= constant;
      return value ^ value >> 16;
    };
    for (size_t i = 0; i < pool_.size(); ++i) pool_[i] = hashed(i < words.size() ? words[i] : 0);
    for (size_t from = 0; from < pool_.size(); ++from) {
      for (size_t to = 0; to < pool_.size(); ++to) {
        if (from == to) continue;
        const uint32_t mixed = 0xca01f9ddu * pool_[to] - 0x4973f715u * hashed(pool_[from]);
        pool_[to] = mixed ^ mixed >> 16;
      }
    }
  }

  // Four words of 64 bits.
  std::array<uint64_t, 4> state() const {
    std::array<uint64_t, 4> words{};
    uint32_t constant = 0x8b51f9ddu;
    for (size_t i = 0; i < 2 * words.size(); ++i) {
      uint32_t value = pool_[i % pool_.size()] ^ constant;
      constant *= 0x58f38dedu;
      value *= constant;
      value ^= value >> 16;
      words[i / 2] |= static_cast<uint64_t>(value) << (32 * (i % 2));
    }
    return words;
  }

 private:
  std::array<uint32_t, 4> pool_{};
};

// A number of 128 bits, of which ISO C++ has none.
struct Wide {
  uint64_t high = 0, low = 0;
};

Wide sum_of(Wide a, Wide b) {
  const uint64_t low = a.low + b.low;
  return {a.high + b.high + (low < a.low), low};
}

Wide product_of(Wide a, Wide b) {
  const uint64_t a0 = a.low & 0xffffffff, a1 = a.low >> 32;
  const uint64_t b0 = b.low & 0xffffffff, b1 = b.low >> 32;
  const uint64_t middle = a1 * b0 + (a0 * b0 >> 32);
  const uint64_t carried = a0 * b1 + (middle & 0xffffffff);
  const uint64_t high = a1 * b1 + (middle >> 32) + (carried >> 32);
  return {high + a.high * b.low + a.low * b.high, a.low * b.low};
}

// PCG XSL RR 128/64 of M. O'Neill (2014), NumPy's default.
class Pcg64 {
 public:
  explicit Pcg64(uint64_t seed) {
    const auto [high, low, stream_high, stream_low] = NumpySeed(seed).state();
    increment_ = {stream_high << 1 | stream_low >> 63, stream_low << 1 | 1};
    state_ = sum_of(increment_, {high, low});
    step();
  }

  uint32_t next() {
    is_kept_ = !is_kept_;
    if (!is_kept_) return kept_;
    step();
    const uint64_t word = std::rotr(state_.high ^ state_.low, static_cast<int>(state_.high >> 58));
    kept_ = static_cast<uint32_t>(word >> 32);
    return static_cast<uint32_t>(word);
  }

  // Uniform in [0, last], as NumPy draws for a permutation.
  uint32_t bounded(uint32_t last) {
    const int spare = std::countl_zero(last);
    uint32_t drawn = 0;
    do {
      drawn = next() & (0xffffffffu >> spare);
    } while (drawn > last);
    return drawn;
  }

 private:
  void step() {
    state_ = sum_of(product_of(state_, {2549297995355413924u, 4865540595714422341u}), increment_);
  }

  Wide state_, increment_;
  uint32_t kept_ = 0;  // the high half of the last word
  bool is_kept_ = false;
};

}  // namespace

PythonRandom::PythonRandom(uint64_t seed) : engine_(python_engine(seed)) {}

int64_t PythonRandom::randint(int64_t first, int64_t last) {
  const auto count = static_cast<uint32_t>(last - first + 1);
  const int bits = std::bit_width(count);
  uint32_t drawn = count;
  while (drawn >= count) drawn = engine_() >> (32 - bits);
  return first + static_cast<int64_t>(drawn);
}

std::vector<int64_t> numpy_permutation(uint64_t seed, int64_t count) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  Pcg64 random(seed);
  for (size_t i = order.size(); i-- > 1;) {
    std::swap(order[i], order[random.bounded(static_cast<uint32_t>(i))]);
  }
  return order;
}

}  // namespace nibble
