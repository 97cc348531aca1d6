// SPDX-License-Identifier: Apache-2.0
//
// A model's module tree from its config.json alone, as transformers builds it: names, shapes and
// ties, no weights and no way to run it. From it follow the numbers that are known before a weight
// is seen: parameters, memory, what a quantization converts (outline/conversion.h).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nibble/quant/skip_modules.h"
#include "nibble/tensor/dtype.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

struct OutlineModule {
  enum class Kind {
    kLinear,     // weight [out, in]
    kConv1D,     // GPT-2's: weight [in, out]
    kConv,       // convolution: never quantized
    kEmbedding,  // weight [rows, cols]
    kNorm,       // weight [size]
    kParameter,  // a tensor that its module holds directly; `path` is its own name
    kBuffer,     // of the same kind, but no parameter
  };
  Kind kind = Kind::kLinear;
  std::string path;            // "model.layers.0.self_attn.q_proj"
  Shape shape;                 // of the weight
  int64_t bias = 0;            // its elements, 0 for none
  std::string tied_to;         // the parameter that the weight shares; "" if its own
  std::string bias_tied_to;    // likewise
  std::optional<DType> dtype;  // of a buffer that does not follow the model's dtype
  bool exact_class = true;     // false: a subclass of nn.Linear, which bitsandbytes passes over
};

// In the order of named_parameters() of the PyTorch model, buffers last within their module.
struct ModelOutline {
  std::string model_type;
  std::string architecture;  // the class: "LlamaForCausalLM"
  std::vector<OutlineModule> modules;
  std::string output_embeddings;          // a module; "" without a language head
  std::vector<std::string> keep_in_fp32;  // parts of names, as the class lists them
  std::string blocks;  // the list of decoder blocks: "model.layers"; "" where there is none
  std::string main_input = "input_ids";

  ModelNames names() const;  // for the automatic skip list
  // Whether the class keeps the parameter of this name in float32 in a float16 model.
  bool keeps_in_fp32(const std::string& name) const;
};

// From a whole config.json; `file` is named in errors. The class is the first of "architectures",
// or the usual one of the model type. Throws Error for a type or class that is not described here
// (naming those that are), and for missing, mistyped and absurd sizes.
ModelOutline outline_of(const nlohmann::ordered_json& config, const std::string& file,
                        HfRelease release = HfRelease::kV5);

std::vector<std::string> outlined_model_types();

}  // namespace nibble
