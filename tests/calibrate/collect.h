// SPDX-License-Identifier: Apache-2.0
//
// What a calibration gives of all blocks, in one.
#pragma once

#include <algorithm>
#include <iterator>
#include <utility>

#include "nibble/calibrate/calibration.h"

namespace nibble::testing {

// `calibrate(sink)` runs it.
template <typename F>
Calibration collect(const F& calibrate) {
  Calibration all;
  calibrate([&](int64_t, Calibration&& block) {
    all.weights.merge(std::move(block.weights));
    all.tensors.merge(std::move(block.tensors));
    std::ranges::move(block.modules, std::back_inserter(all.modules));
  });
  return all;
}

}  // namespace nibble::testing
