// SPDX-License-Identifier: Apache-2.0
#include "nibble/models/scale_group.h"

#include <set>

#include "tests/models/model_testing.h"

namespace nibble::testing {
namespace {

// That the transform changes nothing is tested where it is made (tests/calibrate).
TEST(ScaleGroup, EachLinearOfABlockConsumesInOneGroupAndAbsorbersExist) {
  for (const char* name : {"llama", "llama_bias", "mistral", "qwen2", "qwen3"}) {
    SCOPED_TRACE(name);
    const RunningModel running(golden_model(name));
    Model& model = *running.opened.model;
    std::multiset<std::string> linears, consumers;
    std::set<std::string> norms;
    running.model().visit([&](const std::string& path, const Linear&) {
      if (path != "lm_head") linears.insert(path);
    });
    model.visit_norms([&](const std::string& path, RmsNorm&) { norms.insert(path); });
    for (int64_t block = 0; block < model.block_count(); ++block) {
      for (const ScaleGroup& group : model.scale_groups(block)) {
        EXPECT_TRUE(norms.contains(group.absorber) || linears.contains(group.absorber));
        for (const ScaledLinear& linear : group.consumers) consumers.insert(linear.path);
      }
    }
    EXPECT_EQ(consumers, linears);
  }
}

TEST(ScaleGroup, GroupedQueriesShareTheOutputsOfTheirValueHead) {
  const ScaleGroup plain;
  EXPECT_EQ(plain.source(7), 7);
  const ScaleGroup shared{"v", {{"o"}}, /*head_dim=*/2, /*sharing=*/3};
  const std::vector<int64_t> expected = {0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3};
  for (size_t c = 0; c < expected.size(); ++c) {
    EXPECT_EQ(shared.source(static_cast<int64_t>(c)), expected[c]);
  }
}

}  // namespace
}  // namespace nibble::testing
