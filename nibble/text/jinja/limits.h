// SPDX-License-Identifier: Apache-2.0
//
// What a template may spend while it renders. Templates come with models from strangers; one that
// loops, recurses or grows without end is stopped by these limits within about a second. All
// limits count work, not time, so that a template renders or fails alike on every machine.
#pragma once

#include <cstddef>
#include <cstdint>

#include "nibble/base/error.h"

namespace nibble::jinja {

// What one rendering may spend in all.
struct Limits {
  // Expressions and statements evaluated, items iterated. A prompt of 1,000 messages needs some
  // 100,000; five million take well under a second.
  int64_t steps = 5'000'000;
  // Bytes of all values built or searched. Building a 1 MB prompt by 500 appends costs 250 MB; work
  // on each byte, such as splitting or escaping, takes about a nanosecond.
  int64_t value_bytes = int64_t{512} << 20;
  // One string, and the rendered output: far beyond any context window.
  int64_t string_bytes = int64_t{64} << 20;
};

// How many times the work of a plain copy some operations take on each byte.
inline constexpr size_t kCaseMappingCost = 16;  // and character classes, by ICU
inline constexpr size_t kTitleCost = 128;       // by ICU, character by character
inline constexpr size_t kEscapingCost = 8;      // character by character: repr, JSON, HTML

// Nested evaluations at run time, macro calls included. Each costs 1 to 4 KiB of stack, so that
// the whole fits in 8 MiB also in instrumented builds.
inline constexpr int kMaxDepth = 1'000;

// Nested brackets, operators and blocks in the source; Python's own parser stops at 200 brackets.
inline constexpr int kMaxSourceDepth = 200;

// Longest chain of operators, filters or attributes on one value: each is a level of the tree.
inline constexpr int kMaxChain = 500;

// Lists in lists: printing, comparing and freeing values recurse this deep.
inline constexpr int kMaxValueDepth = 200;

// Items of one range(), the limit of Jinja2's own sandbox.
inline constexpr int64_t kMaxRange = 100'000;

// Counts one rendering against the limits; throws Error when one is passed.
class Budget {
 public:
  explicit Budget(const Limits& limits) : limits_(limits) {}
  const Limits& limits() const { return limits_; }

  void spend_steps(int64_t count) {
    if (count > limits_.steps - steps_) throw Error("the template takes too many steps");
    steps_ += count;
  }
  void spend_bytes(size_t count) {
    if (count > static_cast<size_t>(limits_.value_bytes - bytes_)) {
      throw Error("the template builds too many values");
    }
    bytes_ += static_cast<int64_t>(count);
  }
  // Throws for a string that is longer than any may be.
  void check_string(size_t size) const {
    if (size > static_cast<size_t>(limits_.string_bytes)) {
      throw Error("the template builds a string that is too long");
    }
  }
  // Call before building a string of this many bytes.
  void spend_string(size_t size) {
    check_string(size);
    spend_bytes(size);
  }

 private:
  Limits limits_;
  int64_t steps_ = 0, bytes_ = 0;
};

// One level of recursion for as long as it lives.
class DepthGuard {
 public:
  DepthGuard(int& depth, int limit, const char* message) : depth_(depth) {
    if (depth_ >= limit) throw Error(message);
    ++depth_;
  }
  ~DepthGuard() { --depth_; }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;

 private:
  int& depth_;
};

}  // namespace nibble::jinja
