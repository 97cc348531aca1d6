// SPDX-License-Identifier: Apache-2.0
//
// The public headers of nibble in one.
#pragma once

#include "nibble/base/error.h"
#include "nibble/tensor/tensor.h"
