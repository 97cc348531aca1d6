// SPDX-License-Identifier: Apache-2.0
//
// Only bounds that no machine comes near: limits differ, and from moment to moment.
#include "tests/backend/conformance.h"

namespace nibble::conformance {
namespace {

void expect_credible(const DeviceLimits& limits) {
  // From a tenth of a slow single-board computer, under a sanitizer, to beyond any processor.
  EXPECT_GT(limits.read_bytes_per_second, 1e7);
  EXPECT_LT(limits.read_bytes_per_second, 1e14);
  EXPECT_GT(limits.multiply_adds_per_second, 1e6);
  EXPECT_LT(limits.multiply_adds_per_second, 1e16);
}

class Limits : public CpuTarget {};

TEST_P(Limits, AreMeasured) { expect_credible(cpu_->measure_limits()); }

// Eight numbers at once are not slower than one at a time, even when other work takes half.
TEST_P(Limits, AreThoseOfTheInstructionSet) {
  if (GetParam() != "avx2" && GetParam() != "avx3") GTEST_SKIP() << "not a wide target";
  const double wide = cpu_backend(1)->measure_limits().multiply_adds_per_second;
  cpu::set_cpu_target("scalar");
  EXPECT_GT(wide, 1.5 * cpu_backend(1)->measure_limits().multiply_adds_per_second);
}

INSTANTIATE_TEST_SUITE_P(, Limits, testing::ValuesIn(cpu::available_targets()),
                         [](const auto& target) { return target.param; });

TEST(ReferenceLimits, AreMeasured) { expect_credible(make_backend("reference")->measure_limits()); }

}  // namespace
}  // namespace nibble::conformance
