// SPDX-License-Identifier: Apache-2.0
//
// How a long job tells its caller where it is. The library calls it from one thread at a time and
// prints nothing itself; throwing Interrupted from advance() or skip() stops the job cleanly.
#pragma once

#include <cstdint>
#include <string_view>

namespace nibble {

class Progress {
 public:
  enum class Unit { kSteps, kBytes };

  virtual ~Progress() = default;
  virtual void begin(std::string_view /*what*/, int64_t /*total*/, Unit /*unit*/ = Unit::kSteps) {}
  virtual void advance(int64_t /*units*/, std::string_view /*item*/) {}
  // The same for units that need no work, done by an earlier run or held by a cache: they tell
  // nothing about the speed of the rest.
  virtual void skip(int64_t /*units*/) {}
  virtual void end() {}
};

}  // namespace nibble
