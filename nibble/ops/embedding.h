// SPDX-License-Identifier: Apache-2.0
//
// Rows of a table by id: tokens to hidden states.
#pragma once

#include "nibble/ops/context.h"

namespace nibble {

// ids [tokens] int32 on the host -> [tokens, cols] float32 on the backend's device. Throws Error
// for an id that the table [rows, cols] does not have.
Tensor embedding(Context& ctx, const PreparedWeight& table, const Tensor& ids);

}  // namespace nibble
