// SPDX-License-Identifier: Apache-2.0
//
// What the weights of a model, in the form in memory, depend on: where the files are and in what
// state, the scheme, and the backend for which they are prepared. Reads no weights.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "nibble/io/checkpoint.h"
#include "nibble/quant/scheme.h"
#include "nibble/tensor/dtype.h"

namespace nibble {

struct WeightCacheKey {
  // A name for a folder: the same for another state of the same files, so that what was made of
  // the old one is replaced.
  std::string slot;
  // Everything, as JSON: what was made under an equal text is the same bytes.
  std::string text;
};

struct WeightCacheSource {
  const Checkpoint& checkpoint;
  const Scheme& scheme;
  bool quantizes = false;      // plain weights, while loading
  std::optional<DType> dtype;  // of plain weights before they are quantized
  std::string_view backend;
};

// Throws Error when the files cannot be looked at.
WeightCacheKey weight_cache_key(const WeightCacheSource& source);

}  // namespace nibble
