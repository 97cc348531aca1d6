// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/model_scaling.h"

#include <cmath>
#include <utility>

namespace nibble {

ModelScaling::ModelScaling(Model& model, Context& ctx, ThreadPool& pool) : ctx_(ctx), pool_(pool) {
  model.visit([this](const std::string& path, Linear& linear) { linears_[path] = &linear; });
  model.visit_norms([this](const std::string& path, RmsNorm& norm) { norms_[path] = &norm; });
}

ModelScaling::Rounded ModelScaling::rounded(const Tensor& floats, DType dtype) {
  Tensor stored = to_dtype(floats, dtype);
  return {stored, to_dtype(stored, DType::kF32)};
}

void ModelScaling::add(const ScaleGroup& group, std::span<const float> of_outputs) {
  std::vector<float> scales(of_outputs.begin(), of_outputs.end());
  const auto norm = norms_.find(group.absorber);
  if (norm == norms_.end()) {
    planned_[group.absorber].rows = scales;
  } else {
    const Tensor weight = ctx_.backend.download(ctx_.stream, norm->second->weight());
    const auto old = weight.data<float>();
    Tensor divided = Tensor::from(scales, weight.shape());
    const auto values = divided.mutable_data<float>();
    for (size_t i = 0; i < values.size(); ++i) values[i] = old[i] / scales[i];
    const DType dtype = linear(group.consumers.front().path).weight().weight().dtype();
    Rounded result = rounded(divided, dtype);
    const auto kept = result.floats.data<float>();
    for (size_t i = 0; i < values.size(); ++i) {
      if (old[i] == 0.0f) continue;  // and whatever the scale, the input is 0
      const float scale = old[i] / kept[i];
      const bool fits = std::isfinite(scale) && scale > 0.0f;
      scales[i] = fits ? scale : 1.0f;
      if (!fits) values[i] = old[i];
    }
    planned_norms_[group.absorber] = rounded(divided, dtype);
  }
  for (const ScaledLinear& consumer : group.consumers) {
    std::vector<float>& columns = planned_[consumer.path].columns;
    columns.resize(static_cast<size_t>(linear(consumer.path).weight().weight().cols()));
    for (size_t c = 0; c < columns.size(); ++c) {
      columns[c] = scales[static_cast<size_t>(group.source(static_cast<int64_t>(c)))];
    }
  }
}

MatrixScaling ModelScaling::of(const std::string& path) const {
  const auto found = planned_.find(path);
  return found == planned_.end() ? MatrixScaling() : found->second;
}

std::map<std::string, Tensor> ModelScaling::apply(const std::set<std::string>& except) {
  std::map<std::string, Tensor> changed;
  const auto upload = [&](const Tensor& host) { return ctx_.backend.upload(ctx_.stream, host); };
  for (const auto& [path, scaling] : planned_) {
    Linear& target = linear(path);
    const Weight old = target.weight().weight();
    if (!scaling.rows.empty() && target.bias().defined()) {
      const Tensor bias = ctx_.backend.download(ctx_.stream, target.bias());
      const std::span<const float> values = bias.data<float>();
      Tensor divided = Tensor::from(std::vector<float>(values.begin(), values.end()), bias.shape());
      divide_each(divided.mutable_data<float>(), scaling.rows);
      const Rounded result = rounded(divided, old.dtype());
      target.set_bias(upload(result.floats));
      changed.emplace(path + ".bias", result.stored);
    }
    if (except.contains(path)) continue;
    const Tensor scaled = scaled_matrix(old.as_dense().values, scaling, pool_);
    const Tensor stored = to_dtype(scaled, old.dtype());
    target.set_weight(ctx_.backend.prepare(Weight::dense(stored)));
    changed.emplace(path + ".weight", stored);
  }
  for (const auto& [path, norm] : planned_norms_) {
    norms_.at(path)->set_weight(upload(norm.floats));
    changed.emplace(path + ".weight", norm.stored);
  }
  planned_.clear();
  planned_norms_.clear();
  return changed;
}

}  // namespace nibble
