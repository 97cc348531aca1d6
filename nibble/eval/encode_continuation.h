// SPDX-License-Identifier: Apache-2.0
//
// Where a context ends and its continuation begins, in tokens: figures of different programs only
// compare when they agree on it.
#pragma once

#include <string_view>

#include "nibble/eval/continuations.h"
#include "nibble/text/tokenizer.h"

namespace nibble {

// As lm-evaluation-harness cuts text: spaces at the end of the context belong to the continuation;
// both are encoded together, and what the context takes by itself is its part. An empty context is
// the BOS token, or else EOS. Throws Error when nothing is left for the continuation.
Continuation encode_continuation(const Tokenizer& tokenizer, std::string_view context,
                                 std::string_view continuation);

}  // namespace nibble
