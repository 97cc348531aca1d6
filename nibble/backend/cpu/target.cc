// SPDX-License-Identifier: Apache-2.0
#include "nibble/backend/cpu/target.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cctype>

#include "nibble/base/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/target.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {

int64_t ThisTarget() { return HWY_TARGET; }

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
namespace {

HWY_EXPORT(ThisTarget);

std::string name_of(int64_t target) {
  std::string name = hwy::TargetName(target);
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

// A lower bit is a better target.
template <typename Visit>
void for_each_target(const Visit& visit) {
  int64_t left = hwy::SupportedTargets() & HWY_TARGETS;
  // Asking makes Highway dispatch to the processor's best target again, disabled or not, until it
  // chooses anew.
  hwy::GetChosenTarget().DeInit();
  for (; left != 0; left &= left - 1) visit(left & -left);
}

}  // namespace

std::vector<std::string> available_targets() {
  std::vector<std::string> names;
  for_each_target([&](int64_t target) { names.push_back(name_of(target)); });
  return names;
}

std::string current_target() { return name_of(HWY_DYNAMIC_DISPATCH(ThisTarget)()); }

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
#endif
