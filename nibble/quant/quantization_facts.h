// SPDX-License-Identifier: Apache-2.0
//
// What every quantization config tells, whatever its method: how to show it, which modules it
// converts, and what a converted module occupies. Each config makes these from its own fields.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nibble/format/code_block.h"

namespace nibble {

struct QuantizationFacts {
  std::string method;  // quant_method: "bitsandbytes", "gptq"
  std::string scheme;  // "int8", "nf4", "fp4"; else the method; "" when nothing is quantized
  std::string format;  // the packing where a method has several: "gptq_v2", "gemm"
  double bits = 0;     // of a code
  std::optional<int64_t> group_size;  // weights that share a scale; -1: a whole row

  // How the user's list and the automatic one (quant/skip_modules.h) go together.
  enum class SkipList {
    kReplacesAutomatic,  // bitsandbytes, EETQ
    kExtendsAutomatic,   // AWQ
    kNoAutomatic,        // HQQ: tags of Linear modules, not names
    kInsideBlocks,       // GPTQ: Linear modules of the decoder blocks only
  };
  SkipList skip_list = SkipList::kReplacesAutomatic;
  std::optional<std::vector<std::string>> skip_modules;  // absent: none given
  // GPTQ: names of Linear modules within a block ("self_attn.q_proj"), HQQ: tags; absent: all.
  std::optional<std::vector<std::string>> only;
  std::optional<std::string> blocks;  // GPTQ: the list of blocks; absent: the model's
  bool converts_conv1d = false;       // GPT-2's Conv1D
  bool converts_subclasses = false;   // of nn.Linear, such as Falcon's
};

// The tensors of a converted module as get_memory_footprint() and num_parameters() count them.
struct PackedSize {
  int64_t bytes = 0;              // without the bias
  int64_t parameters = 0;         // without the bias
  bool float16_bias = false;      // else the dtype of the model
  bool bias_is_parameter = true;  // else a buffer, which is not a parameter
};

// The remark on keys that were not read, or nothing.
std::vector<std::string> notes_on_unknown(const std::vector<std::string>& keys);

}  // namespace nibble
