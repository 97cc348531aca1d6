// SPDX-License-Identifier: Apache-2.0
//
// What the tests of ops/ share: a context on the reference backend, which is the truth that other
// backends are held against (tests/backend).
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nibble/backend/reference/reference_backend.h"
#include "nibble/base/error.h"
#include "nibble/ops/context.h"
#include "tests/testing/message_of.h"

namespace nibble::testing {

class Ops : public ::testing::Test {
 protected:
  std::unique_ptr<Backend> backend_ = make_reference_backend();
  std::unique_ptr<Stream> stream_ = backend_->new_stream();
  Context ctx_{*backend_, *stream_};

  std::shared_ptr<const PreparedWeight> prepared(Tensor values) {
    return backend_->prepare(Weight::dense(std::move(values)));
  }
};

inline std::vector<float> values(const Tensor& tensor) {
  const auto data = tensor.data<float>();
  return {data.begin(), data.end()};
}

inline void expect_near(const Tensor& tensor, const std::vector<float>& expected,
                        float tolerance = 1e-6f) {
  const std::vector<float> got = values(tensor);
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], tolerance) << i;
}

}  // namespace nibble::testing
