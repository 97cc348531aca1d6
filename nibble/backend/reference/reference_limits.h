// SPDX-License-Identifier: Apache-2.0
//
// The limits of plain loops on one thread, which is what the reference kernels are.
#pragma once

#include "nibble/backend/backend.h"

namespace nibble {

DeviceLimits reference_limits();

}  // namespace nibble
