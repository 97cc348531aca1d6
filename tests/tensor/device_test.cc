// SPDX-License-Identifier: Apache-2.0
#include "nibble/tensor/device.h"

#include <gtest/gtest.h>

#include "nibble/base/error.h"

namespace nibble {
namespace {

TEST(Device, NamesRoundTrip) {
  for (const char* name : {"cpu", "cuda:0", "cuda:12"}) {
    EXPECT_EQ(parse_device(name).name(), name);
  }
  EXPECT_EQ(parse_device("cuda").name(), "cuda:0");
}

TEST(Device, RefusesOtherNames) {
  for (const char* name : {"", "CPU", "cuda:", "cuda:-1", "cuda:1x", "cuda:99999999999", "gpu"}) {
    EXPECT_THROW(parse_device(name), Error) << name;
  }
}

}  // namespace
}  // namespace nibble
