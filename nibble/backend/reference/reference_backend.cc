// SPDX-License-Identifier: Apache-2.0
#include "nibble/backend/reference/reference_backend.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "nibble/backend/reference/reference_limits.h"
#include "nibble/backend/reference/reference_linear.h"

namespace nibble {
namespace {

using std::size_t;

void normalize(std::span<const float> x, std::span<const float> weight, float eps,
               std::span<float> y) {
  double squares = 0.0;
  for (const float value : x) squares += double{value} * value;
  const double norm = 1.0 / std::sqrt(squares / static_cast<double>(x.size()) + eps);
  for (size_t i = 0; i < x.size(); ++i) y[i] = static_cast<float>(x[i] * norm * weight[i]);
}

void turn(std::span<const float> head, int32_t position, const RopeAngles& angles,
          std::span<float> y) {
  const auto frequency = angles.inv_freq.data<float>();
  const size_t half = frequency.size();
  for (size_t i = 0; i < half; ++i) {
    // The angle is rounded to float as in every implementation that models were trained with; at
    // position 100,000 that moves it by up to 0.004.
    const float angle = static_cast<float>(position) * frequency[i];
    const double cosine = std::cos(double{angle}) * angles.attention_scaling;
    const double sine = std::sin(double{angle}) * angles.attention_scaling;
    y[i] = static_cast<float>(head[i] * cosine - head[i + half] * sine);
    y[i + half] = static_cast<float>(head[i + half] * cosine + head[i] * sine);
  }
  std::ranges::copy(head.subspan(2 * half), y.begin() + static_cast<std::ptrdiff_t>(2 * half));
}

class ReferenceBackend final : public Backend {
 public:
  std::string_view name() const override { return "reference"; }
  Device device() const override { return {}; }
  DeviceLimits measure_limits() override { return reference_limits(); }

  void linear(Stream&, const Tensor& x, std::span<const LinearPart> parts) override {
    for (const LinearPart& part : parts) {
      reference_linear(part.weight.weight(), x, part.bias, part.y);
    }
  }

  void embedding(Stream&, const PreparedWeight& table, const Tensor& ids, Tensor& y) override {
    const auto id = ids.data<int32_t>();
    const auto out = y.mutable_data<float>();
    const size_t cols = static_cast<size_t>(table.weight().cols());
    for (size_t t = 0; t < id.size(); ++t) {
      table.weight().decode_row(id[t], out.subspan(t * cols, cols));
    }
  }

  void rms_norm(Stream&, const Tensor& x, const Tensor& weight, float eps, Tensor& y) override {
    const size_t width = weight.data<float>().size();
    const auto in = x.data<float>();
    const auto out = y.mutable_data<float>();
    for (size_t at = 0; at < in.size(); at += width) {
      normalize(in.subspan(at, width), weight.data<float>(), eps, out.subspan(at, width));
    }
  }

  void add_rms_norm(Stream& stream, const Tensor& a, const Tensor& b, const Tensor& weight,
                    float eps, Tensor& sum, Tensor& y) override {
    add(stream, a, b, sum);
    rms_norm(stream, sum, weight, eps, y);
  }

  void rope(Stream&, std::span<const RopePart> parts, const RopeAngles& angles,
            float eps) override {
    const auto positions = angles.positions.data<int32_t>();
    for (const RopePart& part : parts) {
      const size_t head_dim = static_cast<size_t>(part.x.dim(2));
      const size_t heads = static_cast<size_t>(part.x.dim(1));
      std::vector<float> head(head_dim);
      for (size_t i = 0; i < positions.size() * heads; ++i) {
        const auto from = part.x.data<float>().subspan(i * head_dim, head_dim);
        std::ranges::copy(from, head.begin());
        if (part.norm_weight.defined()) {
          normalize(from, part.norm_weight.data<float>(), eps, head);
        }
        turn(head, positions[i / heads], angles,
             part.y.mutable_data<float>().subspan(i * head_dim, head_dim));
      }
    }
  }

  void append_to_cache(Stream&, const Tensor& x, int64_t begin, int64_t count, CacheRows& cache,
                       int64_t at) override {
    const auto in = x.data<float>();
    const int64_t heads = x.dim(1), head_dim = x.dim(2);
    for (int64_t t = 0; t < count; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        encode_cache_row(in.subspan(static_cast<size_t>(((begin + t) * heads + h) * head_dim),
                                    static_cast<size_t>(head_dim)),
                         cache, h, at + t);
      }
    }
  }

  void copy_cache(Stream&, const CacheRows& from, int64_t count, CacheRows& to) override {
    for (int64_t h = 0; h < from.kv_heads(); ++h) copy_cache_rows(from, h, count, to);
  }

  void attention(Stream&, const AttentionArgs& args, Tensor& y) override {
    for (const AttentionSpan& span : args.spans) attend(args, span, y);
  }

  void silu_mul(Stream&, const Tensor& gate, const Tensor& up, Tensor& y) override {
    const auto g = gate.data<float>();
    const auto u = up.data<float>();
    const auto out = y.mutable_data<float>();
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = static_cast<float>(g[i] / (1.0 + std::exp(-double{g[i]})) * u[i]);
    }
  }

  void add(Stream&, const Tensor& a, const Tensor& b, Tensor& y) override {
    const auto left = a.data<float>();
    const auto right = b.data<float>();
    const auto out = y.mutable_data<float>();
    for (size_t i = 0; i < out.size(); ++i) out[i] = left[i] + right[i];
  }

  void cross_entropy(Stream&, const Tensor& logits, const Tensor& targets,
                     Tensor& losses) override {
    const auto in = logits.data<float>();
    const auto target = targets.data<int32_t>();
    const auto out = losses.mutable_data<float>();
    const size_t vocab = static_cast<size_t>(logits.dim(1));
    for (size_t t = 0; t < target.size(); ++t) {
      const auto row = in.subspan(t * vocab, vocab);
      const double largest = *std::max_element(row.begin(), row.end());
      double sum = 0.0;
      for (const float x : row) sum += std::exp(x - largest);
      out[t] = static_cast<float>(largest + std::log(sum) - row[static_cast<size_t>(target[t])]);
    }
  }

 private:
  // softmax(scale * q kᵀ) v for every query of one span, over the positions that it may see.
  static void attend(const AttentionArgs& args, const AttentionSpan& span, Tensor& y) {
    const auto query = args.query.data<float>();
    const auto out = y.mutable_data<float>();
    const int64_t heads = args.query.dim(1), head_dim = args.query.dim(2);
    const int64_t queries_per_key = heads / span.keys.kv_heads();
    std::vector<double> weights, sum;
    std::vector<float> row(static_cast<size_t>(head_dim));
    for (int64_t i = 0; i < span.count; ++i) {
      const int64_t position = span.length - span.count + i;
      const int64_t first =
          args.sliding_window > 0 ? std::max<int64_t>(0, position - args.sliding_window + 1) : 0;
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t q = ((span.begin + i) * heads + h) * head_dim;
        const int64_t kv_head = h / queries_per_key;
        weights.clear();
        double largest = -INFINITY;
        for (int64_t p = first; p <= position; ++p) {
          decode_cache_row(span.keys, kv_head, p, row);
          double score = 0.0;
          for (int64_t d = 0; d < head_dim; ++d) {
            score += double{query[static_cast<size_t>(q + d)]} * row[static_cast<size_t>(d)];
          }
          weights.push_back(score * args.scale);
          largest = std::max(largest, weights.back());
        }
        double total = 0.0;
        for (double& w : weights) total += w = std::exp(w - largest);
        sum.assign(static_cast<size_t>(head_dim), 0.0);
        for (int64_t p = first; p <= position; ++p) {
          decode_cache_row(span.values, kv_head, p, row);
          const double w = weights[static_cast<size_t>(p - first)] / total;
          for (int64_t d = 0; d < head_dim; ++d) {
            sum[static_cast<size_t>(d)] += w * row[static_cast<size_t>(d)];
          }
        }
        for (int64_t d = 0; d < head_dim; ++d) {
          out[static_cast<size_t>(q + d)] = static_cast<float>(sum[static_cast<size_t>(d)]);
        }
      }
    }
  }
};

}  // namespace

std::unique_ptr<Backend> make_reference_backend() { return std::make_unique<ReferenceBackend>(); }

}  // namespace nibble
