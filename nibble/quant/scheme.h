// SPDX-License-Identifier: Apache-2.0
//
// A Scheme is an algorithm that chooses codes plus the packing that a file format gives them: the
// tensor names, the bit order and the config keys of one Hugging Face `quant_method`. Stateless
// after construction. Kernels never see it: it turns files into Weights and Weights into files.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/base/thread_pool.h"
#include "nibble/format/weight.h"
#include "nibble/io/checkpoint.h"

namespace nibble {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

class Scheme {
 public:
  virtual ~Scheme() = default;

  virtual std::string_view name() const = 0;  // "nf4", "fp4", "int8": what tables print

  // Quantizes a dense matrix [rows, cols] (float32, float16 or bfloat16); non-finite input throws
  // Error. Bytes do not depend on the number of threads.
  virtual Weight quantize(const Tensor& dense, ThreadPool& pool) const = 0;

  // What files of this packing ask of a shape [rows, cols] that they cannot hold; nothing where
  // they can.
  virtual std::optional<std::string> misfit(int64_t /*rows*/, int64_t /*cols*/) const { return {}; }

  // Reads the tensors of `module` ("model.layers.0.mlp.up_proj") from a checkpoint that this
  // scheme's packing was saved in. Checks them against [rows, cols]; throws Error with file and
  // tensor. The threads of the pool share the work where codes lie in another order.
  virtual Weight load(const Checkpoint& checkpoint, const std::string& module, int64_t rows,
                      int64_t cols, ThreadPool& pool) const = 0;

  // True when the checkpoint holds `module` in this packing (and not as a plain float matrix).
  virtual bool is_packed(const Checkpoint& checkpoint, const std::string& module) const = 0;

  // What is odd about a checkpoint in this packing and does not keep it from being read: one line
  // each, for the user.
  virtual std::vector<std::string> remarks(const Checkpoint&) const { return {}; }

  // The tensors that a file stores for this weight, under their full names.
  virtual std::vector<NamedTensor> save(const Weight& weight, const std::string& module) const = 0;

  // Modules that stay as they are (llm_int8_skip_modules): absent, the automatic list; empty, none.
  virtual const std::optional<std::vector<std::string>>& skip_modules() const = 0;

  // The quantization_config object of config.json.
  virtual nlohmann::ordered_json config_json() const = 0;
};

}  // namespace nibble
