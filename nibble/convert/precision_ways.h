// SPDX-License-Identifier: Apache-2.0
//
// The ways to store a module that mixed precision chooses among, of one packing, and the scheme by
// whose config a model is told whose modules are stored in several of them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nibble/quant/gptq_config.h"
#include "nibble/quant/scheme.h"

namespace nibble {

struct PrecisionWay {
  int64_t bits = 0;
  int64_t group_size = 0;  // -1: a whole row
  std::shared_ptr<const Scheme> scheme;

  // Whether the packing has such groups of such a matrix.
  bool holds(int64_t rows, int64_t cols) const;
};

// 2, 3, 4 and 8 bits of HQQ in groups of 32, 64 and 128, or of one size.
std::vector<PrecisionWay> hqq_ways(std::optional<int64_t> group_size,
                                   const std::optional<std::vector<std::string>>& skip_modules);

// 2, 3, 4 and 8 bits of GPTQ, all else as in `config`.
std::vector<PrecisionWay> gptq_ways(const GptqConfig& config);

// Of a model of which each module is stored in its way, and `plain` are plain. `usual`: the way of
// most weights. Files of HQQ say of each module how it is stored; for GPTQ the config has rules.
std::shared_ptr<const Scheme> scheme_of_ways(const std::map<std::string, PrecisionWay>& ways,
                                             const PrecisionWay& usual,
                                             const std::vector<std::string>& plain);

}  // namespace nibble
