// SPDX-License-Identifier: Apache-2.0
//
// What a quantization does to a model, before a weight is seen: which modules it converts, and what
// num_parameters() and get_memory_footprint() of transformers then say.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nibble/outline/outline.h"
#include "nibble/quant/quantization_config.h"

namespace nibble {

struct MeasuredModule {
  bool converted = false;
  DType dtype = DType::kF32;  // of the weight, where it is not converted
  int64_t parameters = 0;     // as num_parameters() counts them; of tied weights and buffers none
  int64_t bytes = 0;          // as get_memory_footprint() does
};

struct MeasuredModel {
  std::vector<MeasuredModule> modules;    // in the order of the outline
  std::vector<std::string> skip_modules;  // the whole list that was matched, sorted
  int64_t linear_modules = 0;             // that the method could convert
  int64_t converted_modules = 0;
  int64_t parameters = 0;
  int64_t memory_footprint = 0;
};

// The dtype of everything that is not converted. Release 5: `asked`, else the one that the config
// names. Release 4: a quantized model is float16 unless `asked` says otherwise.
DType plain_dtype(std::optional<DType> asked, std::optional<DType> in_config, bool quantized,
                  HfRelease release);

// `quantization` null: none. A tied weight stays what it is tied to. Modules that the class keeps
// in float32 are so in a float16 model; under release 4 in any that bitsandbytes or EETQ quantizes.
// Throws Error for GPTQ on what is no text model and on one whose decoder blocks are not known, and
// for entries of a skip list that are no regular expressions.
MeasuredModel measure(const ModelOutline& outline, DType dtype,
                      const QuantizationConfig* quantization, HfRelease release);

}  // namespace nibble
