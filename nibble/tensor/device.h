// SPDX-License-Identifier: Apache-2.0
//
// Where bytes live. A Device is a name, not a handle: backend/registry turns it into a Backend.
#pragma once

#include <string>
#include <string_view>

namespace nibble {

struct Device {
  enum class Kind { kCpu, kCuda };
  Kind kind = Kind::kCpu;
  int index = 0;  // which one of its kind; always 0 for the CPU

  bool is_cpu() const { return kind == Kind::kCpu; }
  bool operator==(const Device&) const = default;
  std::string name() const;  // "cpu", "cuda:0"
};

// "cpu", "cuda" or "cuda:N"; throws Error otherwise.
Device parse_device(std::string_view text);

}  // namespace nibble
