// SPDX-License-Identifier: Apache-2.0
//
// Every kernel as the plainest loop that states what it computes: the oracle of the conformance
// tests. Single-threaded, no SIMD; sums in double where that makes the oracle better than the fast.
#pragma once

#include <memory>

#include "nibble/backend/backend.h"

namespace nibble {

std::unique_ptr<Backend> make_reference_backend();

}  // namespace nibble
