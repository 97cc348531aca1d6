// SPDX-License-Identifier: Apache-2.0
//
// What a reader takes for one character: extended grapheme clusters (Unicode Standard Annex 29).
#pragma once

#include <cstddef>
#include <string_view>

namespace nibble {

// Where the cluster that starts at text[at] ends. `text` is valid UTF-8, `at` below its size and
// at the start of a cluster. Rule GB9c (Indic conjuncts) is not applied: it joins clusters of six
// bytes and more only, and users of this look at shorter ones.
size_t grapheme_end(std::string_view text, size_t at);

}  // namespace nibble
