// SPDX-License-Identifier: Apache-2.0
#include "nibble/backend/cpu/target.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <hwy/highway.h>

#include <cctype>

#include "nibble/base/error.h"

namespace nibble::cpu {
namespace {

std::string name_of(int64_t target) {
  std::string name = hwy::TargetName(target);
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

// A lower bit is a better target.
template <typename Visit>
void for_each_target(const Visit& visit) {
  int64_t left = hwy::SupportedTargets() & HWY_TARGETS;
  for (; left != 0; left &= left - 1) visit(left & -left);
}

}  // namespace

std::vector<std::string> available_targets() {
  std::vector<std::string> names;
  for_each_target([&](int64_t target) { names.push_back(name_of(target)); });
  return names;
}

std::string current_target() { return available_targets().front(); }

void set_cpu_target(std::string_view name) {
  hwy::DisableTargets(0);
  if (name.empty()) return;
  int64_t chosen = 0;
  for_each_target([&](int64_t target) {
    if (name_of(target) == name) chosen = target;
  });
  if (chosen == 0) {
    throw Error("instruction set is not available on this processor")
        .expected(fmt::format("one of {}", fmt::join(available_targets(), ", ")))
        .got(std::string(name));
  }
  hwy::DisableTargets(chosen - 1);
}

}  // namespace nibble::cpu
