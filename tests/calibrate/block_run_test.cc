// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/block_run.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "nibble/models/open_model.h"
#include "tests/generate/tiny_model.h"

namespace nibble {
namespace {

// The names of the weights that were met, in order.
class NameObserver final : public LinearObserver {
 public:
  explicit NameObserver(const Model& model) {
    model.visit([this](const std::string& path, const Linear& linear) {
      names_[&linear.weight()] = path.substr(path.rfind('.') + 1);
    });
  }

  void on_linear(Context&, const Tensor&, std::span<const LinearOperands> operands) override {
    for (const LinearOperands& operand : operands) seen.push_back(names_.at(&operand.weight));
  }

  std::vector<std::string> seen;

 private:
  std::map<const PreparedWeight*, std::string> names_;
};

TEST(BlockRun, ComputesNothingBehindTheInputsThatAreAskedFor) {
  const testing::ScratchFolder folder;
  testing::TinyModel().write(folder / "model");
  OpenedModel opened = open_model(folder / "model");
  const Model& model = *opened.model;
  const std::vector<std::vector<int32_t>> sequences = {{5, 20, 31, 8, 44}, {9, 9, 70}};
  BlockRun run(model, *opened.backend, sequences, {});
  std::map<std::string, const PreparedWeight*> weights;
  model.visit(
      [&](const std::string& path, const Linear& linear) { weights[path] = &linear.weight(); });
  const auto seen_until = [&](const char* name) {
    NameObserver observer(model);
    run.observe_until(*weights.at(std::string("model.layers.0.") + name), observer);
    return observer.seen;
  };
  const std::vector<std::string> qkv = {"q_proj", "k_proj", "v_proj", "q_proj", "k_proj", "v_proj"};
  EXPECT_EQ(seen_until("self_attn.q_proj"), qkv);
  EXPECT_EQ(seen_until("self_attn.k_proj"), qkv);
  EXPECT_EQ(seen_until("self_attn.o_proj").size(), 2u * 4);
  EXPECT_EQ(seen_until("mlp.up_proj").size(), 2u * 6);

  // What a run has been ended in leaves nothing behind.
  NameObserver observer(model);
  run.advance(&observer);
  EXPECT_EQ(observer.seen.size(), 2u * 7);
}

}  // namespace
}  // namespace nibble
