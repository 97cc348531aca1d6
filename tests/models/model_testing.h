// SPDX-License-Identifier: Apache-2.0
//
// What the tests of models/ share: the golden models, running them, temporary folders.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/io/safetensors.h"
#include "nibble/models/open_model.h"
#include "tests/testing/message_of.h"
#include "tests/testing/paths.h"
#include "tests/testing/scratch_folder.h"

namespace nibble::testing {

namespace fs = std::filesystem;

inline fs::path golden_model(const std::string& name) { return paths::golden("models") / name; }

// One tensor of a golden model's expected.safetensors.
inline Tensor expected_tensor(const std::string& model, const std::string& name) {
  const auto file = SafetensorsFile::open(golden_model(model) / "expected.safetensors");
  const TensorInfo* info = file.find(name);
  if (!info) throw Error("no such golden tensor").tensor(name);
  return file.tensor(*info);
}

inline std::vector<int32_t> expected_ids(const std::string& model, const std::string& name) {
  const Tensor tensor = expected_tensor(model, name);
  const auto ids = tensor.data<int32_t>();
  return {ids.begin(), ids.end()};
}

// A model with what a forward pass needs.
class RunningModel {
 public:
  explicit RunningModel(const fs::path& folder, const std::string& backend = "reference",
                        OpenOptions options = {}) {
    options.backend = backend;
    // As the golden files have it. A coarser cache also turns the last bits in which kernels for
    // many and for few tokens differ into steps of its own.
    if (!options.kv_cache_dtype) options.kv_cache_dtype = DType::kF32;
    if (!options.pool) options.pool = std::make_shared<ThreadPool>(2);
    opened = open_model(folder, std::move(options));
    stream_ = opened.backend->new_stream();
  }

  const Model& model() const { return *opened.model; }
  Context ctx() const { return {*opened.backend, *stream_}; }

  // Logits of `tokens`, which continue `sequence`: all rows, or the last.
  std::vector<float> run(KvCache& cache, int64_t sequence, const std::vector<int32_t>& tokens,
                         LogitsOf which = LogitsOf::kAllTokens) const {
    TokenBatch batch;
    batch.add(sequence, tokens);
    return run(cache, batch, which);
  }
  std::vector<float> run(KvCache& cache, const TokenBatch& batch, LogitsOf which) const {
    Context context = ctx();
    const Tensor logits = model().forward(context, batch, cache, which);
    const auto values = logits.data<float>();
    return {values.begin(), values.end()};
  }

  OpenedModel opened;

 private:
  std::unique_ptr<Stream> stream_;
};

inline int32_t argmax(const std::vector<float>& logits) {
  return static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin());
}

inline double max_difference(std::span<const float> a, std::span<const float> b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0.0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const double difference = std::fabs(double{a[i]} - b[i]);
    largest = std::isnan(difference) ? INFINITY : std::max(largest, difference);
  }
  return largest;
}

}  // namespace nibble::testing
