// SPDX-License-Identifier: Apache-2.0
//
// The numbers were printed by CPython 3.11 and NumPy 2.4.6.
#include "nibble/base/reference_random.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

using Numbers = std::vector<int64_t>;

Numbers python_numbers(uint64_t seed) {
  PythonRandom random(seed);
  Numbers numbers;
  for (int i = 0; i < 8; ++i) numbers.push_back(random.randint(0, 99));
  for (int i = 0; i < 3; ++i) numbers.push_back(random.randint(5, int64_t{1} << 31));
  return numbers;
}

TEST(ReferenceRandom, DrawsThePythonNumbersOfASeed) {
  EXPECT_EQ(python_numbers(0),
            (Numbers{49, 97, 53, 5, 33, 65, 62, 51, 1971893214, 1683194657, 1782095541}));
  EXPECT_EQ(python_numbers(42),
            (Numbers{81, 14, 3, 94, 35, 31, 28, 17, 1581559897, 220106712, 1453201083}));
  EXPECT_EQ(python_numbers((uint64_t{1} << 40) + 7),
            (Numbers{78, 95, 81, 73, 90, 60, 32, 78, 272195184, 1109850868, 805886052}));
}

TEST(ReferenceRandom, OrdersAsNumpyDoes) {
  EXPECT_EQ(numpy_permutation(0, 12), (Numbers{9, 2, 7, 4, 5, 11, 0, 3, 6, 10, 8, 1}));
  EXPECT_EQ(numpy_permutation(42, 12), (Numbers{0, 7, 6, 9, 11, 3, 5, 2, 4, 10, 1, 8}));
  EXPECT_EQ(numpy_permutation((uint64_t{1} << 40) + 7, 12),
            (Numbers{8, 2, 6, 1, 11, 9, 3, 7, 4, 5, 0, 10}));
  EXPECT_EQ(numpy_permutation(42, 1), Numbers{0});
  EXPECT_EQ(numpy_permutation(42, 0), Numbers{});
}

TEST(ReferenceRandom, OrdersManyAsNumpyDoes) {
  const Numbers order = numpy_permutation(42, 5000);
  int64_t sum = 0;
  for (size_t i = 0; i < order.size(); ++i) sum += order[i] * static_cast<int64_t>(i);
  EXPECT_EQ(sum, 31023443837);
}

}  // namespace
}  // namespace nibble
