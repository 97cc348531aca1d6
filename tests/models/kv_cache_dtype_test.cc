// SPDX-License-Identifier: Apache-2.0
//
// Which dtype a model's KV cache has, and how near a coarser one stays to float32.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "nibble/backend/registry.h"
#include "tests/models/model_testing.h"

namespace nibble::testing {
namespace {

DType cache_dtype(const std::string& model, const OpenOptions& options) {
  return open_model(golden_model(model), options).model->new_cache().dtype();
}

TEST(KvCacheDtype, FollowsTheDtypeOfTheModel) {
  EXPECT_EQ(cache_dtype("llama", {}), DType::kF32);
  EXPECT_EQ(cache_dtype("qwen2", {}), DType::kF16);  // in bfloat16
  EXPECT_EQ(cache_dtype("llama_nf4", {}), DType::kF32);
}

TEST(KvCacheDtype, FollowsTheDtypeThatAModelIsOpenedIn) {
  OpenOptions options;
  options.dtype = DType::kF32;
  EXPECT_EQ(cache_dtype("qwen2", options), DType::kF32);
  options.dtype = DType::kBF16;
  EXPECT_EQ(cache_dtype("llama", options), DType::kF16);
}

TEST(KvCacheDtype, IsWhatTheOptionSays) {
  OpenOptions options;
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kI8}) {
    options.kv_cache_dtype = dtype;
    EXPECT_EQ(cache_dtype("qwen2", options), dtype);
  }
  options.kv_cache_dtype = DType::kBF16;
  EXPECT_EQ(message_of([&] { cache_dtype("qwen2", options); }),
            "a KV cache has no such dtype: expected float32, float16 or int8, got bfloat16");
}

class CoarseCache : public ::testing::TestWithParam<std::tuple<DType, std::string>> {
 protected:
  static std::vector<float> logits(DType dtype, const std::string& backend) {
    OpenOptions options;
    options.kv_cache_dtype = dtype;
    const RunningModel running(golden_model("qwen2"), backend, options);
    KvCache cache = running.model().new_cache();
    return running.run(cache, cache.add_sequence(), expected_ids("qwen2", "ids"));
  }
};

TEST_P(CoarseCache, MovesLogitsByItsRounding) {
  const auto& [dtype, backend] = GetParam();
  const auto exact = logits(DType::kF32, backend), coarse = logits(dtype, backend);
  double squares = 0, size = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    squares += std::pow(double{coarse[i]} - exact[i], 2);
    size += std::pow(double{exact[i]}, 2);
  }
  // Relative to the largest number of a row, float16 is off by 2^-12 and int8 by 1 / 254 at most;
  // the softmax and two layers make a few times that of it.
  const double bound = dtype == DType::kF16 ? 4 * 0x1p-12 : 4.0 / 254;
  EXPECT_LE(std::sqrt(squares / size), bound);
  EXPECT_GT(squares, 0);
}

TEST_P(CoarseCache, ContinuesAfterTruncationAsIfNeverLonger) {
  const auto& [dtype, backend] = GetParam();
  OpenOptions options;
  options.kv_cache_dtype = dtype;
  const RunningModel running(golden_model("qwen2"), backend, options);
  const auto ids = expected_ids("qwen2", "ids");
  KvCache cache = running.model().new_cache();
  const int64_t longer = cache.add_sequence(), plain = cache.add_sequence();
  running.run(cache, longer, {ids.begin(), ids.begin() + 5});
  running.run(cache, longer, {ids.begin() + 7, ids.begin() + 9});
  cache.truncate(longer, 5);
  running.run(cache, plain, {ids.begin(), ids.begin() + 5});
  EXPECT_EQ(running.run(cache, longer, {ids[5]}), running.run(cache, plain, {ids[5]}));
}

INSTANTIATE_TEST_SUITE_P(All, CoarseCache,
                         ::testing::Combine(::testing::Values(DType::kF16, DType::kI8),
                                            ::testing::ValuesIn(backend_names())),
                         [](const auto& test) {
                           return std::string(torch_name(std::get<0>(test.param))) + '_' +
                                  std::get<1>(test.param);
                         });

}  // namespace
}  // namespace nibble::testing
