// SPDX-License-Identifier: Apache-2.0
//
// A network from token ids to logits. One class per architecture family; quantized or not is the
// business of its Linear modules alone. Embedding, blocks and head can be called apart, so that
// calibration and offloading can go block by block.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nibble/models/config.h"
#include "nibble/models/scale_group.h"
#include "nibble/nn/kv_cache.h"
#include "nibble/nn/linear.h"
#include "nibble/nn/norm.h"
#include "nibble/nn/weight_loader.h"

namespace nibble {

enum class LogitsOf {
  kAllTokens,     // [tokens, vocab]
  kLastOfSlices,  // [slices, vocab]: the last token of each slice, which is all that decoding needs
};

class Model {
 public:
  virtual ~Model() = default;

  const ModelConfig& config() const { return config_; }

  // Appends the batch to the cache and returns float32 logits. Ids out of the vocabulary and
  // sequences that are not in the cache throw Error.
  Tensor forward(Context& ctx, const TokenBatch& batch, KvCache& cache,
                 LogitsOf which = LogitsOf::kLastOfSlices) const;

  // An empty cache, in kv_cache_dtype() unless another is asked for.
  KvCache new_cache() const { return new_cache(kv_cache_dtype_); }
  KvCache new_cache(DType dtype) const;

  // float16 for a model in a 16-bit dtype, else float32; set_kv_cache_dtype() changes it. Throws
  // Error for a dtype that no cache has.
  DType kv_cache_dtype() const { return kv_cache_dtype_; }
  void set_kv_cache_dtype(DType dtype);

  virtual int64_t block_count() const = 0;
  // What the names of a block's modules and tensors begin with: "model.layers.0."
  virtual std::string block_prefix(int64_t index) const = 0;
  virtual Tensor embed(Context& ctx, const TokenBatch& batch) const = 0;
  Tensor block(Context& ctx, int64_t index, const Tensor& hidden, const TokenBatch& batch,
               KvCache& cache) const {
    return finish_block(ctx, index, hidden, attend(ctx, index, hidden, batch, cache));
  }
  // A block in two steps, between which calibration keeps what there is: of its input, what its
  // attention's output projection takes, [tokens, heads * head_dim]; of both, its output.
  virtual Tensor attend(Context& ctx, int64_t index, const Tensor& hidden, const TokenBatch& batch,
                        KvCache& cache) const = 0;
  virtual Tensor finish_block(Context& ctx, int64_t index, const Tensor& hidden,
                              const Tensor& attended) const = 0;
  virtual Tensor head(Context& ctx, const Tensor& hidden) const = 0;

  // Every Linear with its full path, in the order of the forward pass.
  virtual void visit(
      const std::function<void(const std::string& path, const Linear&)>& f) const = 0;
  virtual void visit(const std::function<void(const std::string& path, Linear&)>& f) = 0;

  // The groups of a block, in the order of the forward pass: every Linear of it consumes in one.
  virtual std::vector<ScaleGroup> scale_groups(int64_t block) const = 0;
  // Every norm that absorbs, with its full path.
  virtual void visit_norms(const std::function<void(const std::string& path, RmsNorm&)>& f) = 0;

 protected:
  explicit Model(ModelConfig config);

 private:
  ModelConfig config_;
  DType kv_cache_dtype_;
};

// From model_type to its class (models/registry.cc, one line each). The loader may be a recording
// one: then the model has structure but no weights, and forward must not be called. Gives the
// loader the automatic list of skipped modules if it has none.
std::unique_ptr<Model> make_model(const ModelConfig& config, const WeightLoader& loader);

std::vector<std::string> supported_model_types();

}  // namespace nibble
