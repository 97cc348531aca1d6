// SPDX-License-Identifier: Apache-2.0
//
// Puts long runs of combining marks into canonical order, stably by combining class, which every
// Unicode normal form begins with. ICU does the same in quadratic time: a megabyte of marks in the
// worst order would take it minutes.
#pragma once

#include <string>

namespace nibble {

// `text` is valid UTF-8. Short runs stay as they are. Marks that came after Unicode 9 end a run, as
// they do for the tokenizers library. The result is canonically equivalent to the text.
void order_long_mark_runs(std::string& text);

}  // namespace nibble
