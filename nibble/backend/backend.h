// SPDX-License-Identifier: Apache-2.0
//
// The fixed set of kernels that one device runs. Callers are the ops: shapes and dtypes arrive
// checked and outputs allocated, so a backend holds kernels and nothing else. Work on a Stream runs
// in order; on the CPU it is finished when the call returns.
//
// Activations are float32 here. Kernels accumulate in float32, or exactly in int32 where both sides
// are integers: LLM.int8(), and packed weights on the CPU (cpu/block_activations.h). A result does
// not depend on the number of threads.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "nibble/format/cache_rows.h"
#include "nibble/format/weight.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

// An ordered queue of work on one device.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual void synchronize() {}
};

// A weight in the form that a backend's kernels read: repacked, uploaded, or as it is. It keeps
// the weight's bytes alive.
class PreparedWeight {
 public:
  explicit PreparedWeight(Weight weight) : weight_(std::move(weight)) {}
  virtual ~PreparedWeight() = default;
  const Weight& weight() const { return weight_; }

 private:
  Weight weight_;
};

// One of several products of the same x.
struct LinearPart {
  const PreparedWeight& weight;  // [rows, cols]
  const Tensor& bias;            // [rows] float32, or undefined: none
  Tensor& y;                     // [tokens, rows] float32
};

// One of several tensors whose heads turn by the same angles, as those of queries and keys do.
struct RopePart {
  const Tensor& x;  // [tokens, heads, head_dim] float32; parts differ in their heads alone
  // [head_dim] float32: each head is normalized as rms_norm does before it turns. Undefined: not.
  const Tensor& norm_weight;
  Tensor& y;  // like x; may be x
};

// How row t of all parts turns: pair i by positions[t] * inv_freq[i].
struct RopeAngles {
  const Tensor& positions;         // [tokens] int32
  const Tensor& inv_freq;          // [rotary_dim / 2] float32
  float attention_scaling = 1.0f;  // of cosines and sines
};

// Rows [begin, begin + count) of a token batch belong to one sequence whose cache, with these rows
// appended, is `length` long: row i sits at position length - count + i.
struct AttentionSpan {
  int64_t begin = 0, count = 0, length = 0;
  CacheRows keys, values;  // of one shape and dtype; capacity >= length
};

struct AttentionArgs {
  Tensor query;  // [tokens, heads, head_dim] float32; heads is a multiple of kv_heads (GQA)
  std::span<const AttentionSpan> spans;
  float scale = 1.0f;          // on the scores, usually 1 / sqrt(head_dim)
  int64_t sliding_window = 0;  // a query sees this many positions, itself included; 0: all
};

// What a device can do at most: how fast its threads together read memory that no cache holds, and
// how many float32 multiply-adds they do in registers (each is two FLOP).
struct DeviceLimits {
  double read_bytes_per_second = 0;
  double multiply_adds_per_second = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;  // "reference", "cpu"
  virtual Device device() const = 0;

  // Measured now, with the threads and instructions that the kernels use: on a machine that others
  // use too, limits change. Takes a fraction of a second and 128 MiB while it runs.
  virtual DeviceLimits measure_limits() = 0;

  // Memory and transfers. The default is the host's.
  virtual std::shared_ptr<Buffer> allocate(size_t bytes) { return Buffer::allocate(bytes); }
  virtual std::unique_ptr<Stream> new_stream() { return std::make_unique<Stream>(); }
  virtual Tensor upload(Stream&, const Tensor& host) { return host; }
  virtual Tensor download(Stream&, const Tensor& on_device) { return on_device; }

  virtual std::shared_ptr<const PreparedWeight> prepare(Weight weight) {
    return std::make_shared<PreparedWeight>(std::move(weight));
  }

  // y = x [tokens, cols] Wᵀ + bias for each part, as the weight's layout and activation mode say.
  // All have the columns of x: what x costs, being rounded or packed, and the start of a parallel
  // loop are then paid once for, say, the queries, keys and values of a block.
  virtual void linear(Stream&, const Tensor& x, std::span<const LinearPart> parts) = 0;

  // y [tokens, cols] = rows `ids` [tokens] int32 of the table; ids are in range.
  virtual void embedding(Stream&, const PreparedWeight& table, const Tensor& ids, Tensor& y) = 0;

  // y = x / sqrt(mean(x^2) + eps) * weight over the last axis of x [.., width] (arXiv 1910.07467).
  virtual void rms_norm(Stream&, const Tensor& x, const Tensor& weight, float eps, Tensor& y) = 0;

  // sum = a + b, and y = rms_norm(sum): the residual connection and the norm behind it in one pass.
  // a, b, sum and y [.., width].
  virtual void add_rms_norm(Stream&, const Tensor& a, const Tensor& b, const Tensor& weight,
                            float eps, Tensor& sum, Tensor& y) = 0;

  // Rotates pairs (i, i + rotary_dim/2) of each head of the parts (arXiv 2104.09864 in the
  // half-split form of Hugging Face); the rest of a head is copied. `eps` is that of the norms.
  virtual void rope(Stream&, std::span<const RopePart> parts, const RopeAngles& angles,
                    float eps) = 0;

  // Stores rows [begin, begin + count) of x [tokens, kv_heads, head_dim] float32 at positions
  // [at, at + count) of the cache, as its dtype has them.
  virtual void append_to_cache(Stream&, const Tensor& x, int64_t begin, int64_t count,
                               CacheRows& cache, int64_t at) = 0;

  // Copies positions [0, count) of all heads, as they are stored, to a cache of the same dtype that
  // may have another capacity.
  virtual void copy_cache(Stream&, const CacheRows& from, int64_t count, CacheRows& to) = 0;

  // Causal attention of each span over its own cache; y [tokens, heads, head_dim].
  virtual void attention(Stream&, const AttentionArgs& args, Tensor& y) = 0;

  // y = silu(gate) * up, all of one shape (SwiGLU, arXiv 2002.05202).
  virtual void silu_mul(Stream&, const Tensor& gate, const Tensor& up, Tensor& y) = 0;

  virtual void add(Stream&, const Tensor& a, const Tensor& b, Tensor& y) = 0;

  // losses [tokens] = -log softmax(logits [tokens, vocab])[targets [tokens] int32].
  virtual void cross_entropy(Stream&, const Tensor& logits, const Tensor& targets,
                             Tensor& losses) = 0;
};

}  // namespace nibble
