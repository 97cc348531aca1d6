// SPDX-License-Identifier: Apache-2.0
//
// The loop of byte pair encoding: joins the neighbours with the lowest rank, leftmost first, until
// none can be joined.
#pragma once

#include <cstdint>
#include <vector>

#include "nibble/text/merge_table.h"

namespace nibble {

// Merges in place; fewer than 2^32 symbols. O(n log n) for long words.
void merge_symbols(const MergeTable& merges, std::vector<int32_t>& symbols);

}  // namespace nibble
