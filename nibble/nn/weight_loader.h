// SPDX-License-Identifier: Apache-2.0
//
// A cursor over a checkpoint that a model's constructor walks with path prefixes, so that its
// module tree mirrors the file's names. The loader decides whether a module is plain, packed in the
// file, or to be quantized now, and reports names that are missing or unused. Without a checkpoint
// it only records the modules: the model's structure, with no weights, from config.json alone.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/backend/backend.h"
#include "nibble/base/progress.h"
#include "nibble/base/thread_pool.h"
#include "nibble/io/checkpoint.h"
#include "nibble/nn/weight_cache.h"
#include "nibble/quant/scheme.h"

namespace nibble {

// One module that the model asked for, in the order of asking.
struct ModuleInfo {
  enum class Kind { kLinear, kEmbedding, kParameter };
  Kind kind = Kind::kLinear;
  std::string name;            // "model.layers.0.self_attn.q_proj"; for kParameter the tensor name
  int64_t rows = 0, cols = 0;  // kParameter: rows elements
  bool bias = false;
  bool quantizable = false;  // a Linear that the scheme in force converts
  std::string tied_to;       // shares the weight of this module ("" if its own)
};

// Whether weights are held in this dtype: float32, float16 and bfloat16. Others are cast on
// loading.
bool is_held(DType dtype);

struct LoadOptions {
  // Quantizes plain Linear modules while loading; null leaves them as they are.
  const Scheme* quantize_with = nullptr;
  // The scheme of a pre-quantized checkpoint (its quantization_config); null: plain.
  const Scheme* packed_with = nullptr;
  // Modules that stay unquantized although a scheme is in force (see SkipMatcher); absent: the
  // automatic list, which make_model() works out; empty: none.
  std::optional<std::vector<std::string>> skip_modules;
  // Overrides the activation mode of quantized weights.
  std::optional<ActivationMode> activation;
  // Dtype of plain weights in memory; absent: the file's.
  std::optional<DType> dtype;
  // Where quantized weights are taken from, and kept when they are not there; null: made each time.
  WeightCache* cache = nullptr;
  Progress* progress = nullptr;
};

class WeightLoader {
 public:
  // Loads from `checkpoint` to `backend`.
  WeightLoader(const Checkpoint& checkpoint, Backend& backend, ThreadPool& pool,
               LoadOptions options);
  // Records modules only: linear() and embedding() return null, parameter() an undefined tensor.
  explicit WeightLoader(LoadOptions options = {});
  ~WeightLoader();

  // A loader whose names begin with this one's prefix and `name` + ".".
  WeightLoader sub(std::string_view name) const;
  WeightLoader sub(int64_t index) const;

  // Weight `name`.weight [rows, cols] of a Linear: packed if the file has it so, else quantized now
  // if a scheme says so, else plain and mapped. `bias` is recorded only; bias() reads it.
  // These four throw Error with file, tensor, expected, got.
  std::shared_ptr<const PreparedWeight> linear(std::string_view name, int64_t rows, int64_t cols,
                                               bool bias) const;
  // The float32 tensor `name`.bias [rows] of a Linear.
  Tensor bias(std::string_view name, int64_t rows) const;
  // Weight `name`.weight [rows, cols] of an embedding table: never quantized.
  // `stored_as`: the module (full path) under whose name the file has the weight; "": its own.
  std::shared_ptr<const PreparedWeight> embedding(std::string_view name, int64_t rows, int64_t cols,
                                                  std::string_view stored_as = "") const;
  // The float32 tensor `name` [size], e.g. "weight" of a norm.
  Tensor parameter(std::string_view name, int64_t size) const;

  // Records that Linear `name` shares the table of embedding `tied_to` (both full paths). A copy of
  // the weight under `name` in the file counts as used.
  void tie(std::string_view name, std::string_view tied_to, int64_t rows, int64_t cols) const;

  // True when the file has the weight of this module (full path). False for a recording loader.
  bool has_weight(std::string_view name) const;
  // True when the file has both weights and their bytes differ: then they are not tied, whatever
  // the config says (as in transformers). False for a recording loader.
  bool differ(std::string_view name, std::string_view other) const;

  // For make_model(): a scheme is in force and which modules it skips is not known yet.
  bool wants_skip_modules() const;
  void set_skip_modules(std::vector<std::string> skip_modules) const;

  // Everything asked for so far, through this loader and all subs.
  const std::vector<ModuleInfo>& modules() const;
  // Names in the checkpoint that no module asked for, sorted.
  std::vector<std::string> unused() const;
  // Bytes of all weights and parameters loaded, side tensors of packed ones included, tied ones
  // once.
  int64_t weight_bytes() const;
  // What get_memory_footprint() of transformers counts of them: of a packed weight the codes only.
  int64_t memory_footprint() const;

 private:
  struct State;
  WeightLoader(std::shared_ptr<State> state, std::string prefix);
  std::shared_ptr<State> state_;
  std::string prefix_;
};

}  // namespace nibble
