// SPDX-License-Identifier: Apache-2.0
//
// stories260K, a real trained model, against numbers of an independent float64 forward pass. The
// model is no part of the project: these tests are skipped where it is absent.
#include <gtest/gtest.h>

#include <cstdlib>

#include "nibble/backend/registry.h"
#include "nibble/io/json_file.h"
#include "tests/models/model_testing.h"
#include "tests/testing/paths.h"

namespace nibble::testing {
namespace {

using paths::shared_data;

class Stories : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!fs::exists(shared_data() / "stories260k_hf")) GTEST_SKIP() << "stories260K is absent";
    golden_ = read_json_file(shared_data() / "stories260k" / "golden_numpy_float64.json");
  }
  nlohmann::ordered_json golden_;
};

TEST_P(Stories, LastLogitsEqualFloat64) {
  const RunningModel running(shared_data() / "stories260k_hf", GetParam());
  KvCache cache = running.model().new_cache();
  const auto logits =
      running.run(cache, cache.add_sequence(), golden_["prompt_ids"].get<std::vector<int32_t>>(),
                  LogitsOf::kLastOfSlices);
  const auto expected = golden_["last_logits_float64"].get<std::vector<float>>();
  EXPECT_LE(max_difference(logits, expected), 1e-4);  // float32 through five layers
}

TEST_P(Stories, GreedyIdsEqual) {
  const RunningModel running(shared_data() / "stories260k_hf", GetParam());
  const auto expected = golden_["greedy_ids_from_BOS"].get<std::vector<int32_t>>();
  KvCache cache = running.model().new_cache();
  const int64_t sequence = cache.add_sequence();
  std::vector<int32_t> ids = {expected.front()};
  while (ids.size() < expected.size()) {
    ids.push_back(argmax(running.run(cache, sequence, {ids.back()})));
  }
  EXPECT_EQ(ids, expected);
}

INSTANTIATE_TEST_SUITE_P(All, Stories, ::testing::ValuesIn(backend_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace nibble::testing
