// SPDX-License-Identifier: Apache-2.0
//
// Scales the inputs of Linears of a model and lets what makes the inputs take the inverse, so that
// the model computes what it did. Norms are rounded to the dtype of the model before scales are
// final: the columns take what the norm has really given up, and the file is as exact as memory.
#pragma once

#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "nibble/base/thread_pool.h"
#include "nibble/models/model.h"
#include "nibble/ops/context.h"
#include "nibble/quant/matrix_scaling.h"

namespace nibble {

class ModelScaling {
 public:
  ModelScaling(Model& model, Context& ctx, ThreadPool& pool);

  Linear& linear(const std::string& path) const { return *linears_.at(path); }

  // Plans to divide each output of the absorber by its scale. Nothing changes yet.
  void add(const ScaleGroup& group, std::span<const float> of_outputs);

  // What is planned for a Linear.
  MatrixScaling of(const std::string& path) const;

  // Carries out what is planned, but for the weights of `except`, which the caller replaces.
  // Returns what changed, under the names and in the dtype of the model's file.
  std::map<std::string, Tensor> apply(const std::set<std::string>& except = {});

 private:
  // What is stored, and what comes of it in memory.
  struct Rounded {
    Tensor stored, floats;
  };
  static Rounded rounded(const Tensor& floats, DType dtype);

  Context& ctx_;
  ThreadPool& pool_;
  std::map<std::string, Linear*> linears_;
  std::map<std::string, RmsNorm*> norms_;
  std::map<std::string, MatrixScaling> planned_;
  std::map<std::string, Rounded> planned_norms_;
};

}  // namespace nibble
