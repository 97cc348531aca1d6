// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/block_run.h"

#include <gtest/gtest.h>

#include <algorithm>
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

class BlockRunTest : public ::testing::Test {
 protected:
  BlockRunTest() {
    testing::TinyModel().write(folder_ / "model");
    opened_ = open_model(folder_ / "model");
    opened_.model->visit(
        [&](const std::string& path, const Linear& linear) { weights_[path] = &linear.weight(); });
  }

  // The Linears that the first block calls.
  std::vector<std::string> seen_until(BlockRun& run, const char* name) {
    NameObserver observer(*opened_.model);
    run.observe_until(*weights_.at(std::string("model.layers.0.") + name), observer);
    return observer.seen;
  }
  std::vector<std::string> seen_in_advance(BlockRun& run) {
    NameObserver observer(*opened_.model);
    run.advance(&observer);
    return observer.seen;
  }

  testing::ScratchFolder folder_;
  OpenedModel opened_;
  std::map<std::string, const PreparedWeight*> weights_;
  const std::vector<std::vector<int32_t>> sequences_ = {{5, 20, 31, 8, 44}, {9, 9, 70}};
};

TEST_F(BlockRunTest, ComputesNothingBehindTheInputsThatAreAskedFor) {
  BlockRun run(*opened_.model, *opened_.backend, sequences_, {});
  const std::vector<std::string> qkv = {"q_proj", "k_proj", "v_proj", "q_proj", "k_proj", "v_proj"};
  EXPECT_EQ(seen_until(run, "self_attn.q_proj"), qkv);
  EXPECT_EQ(seen_until(run, "self_attn.k_proj"), qkv);
  EXPECT_EQ(seen_until(run, "self_attn.o_proj").size(), 2u * 4);
}

TEST_F(BlockRunTest, AttendsOnceWhereThereIsRoom) {
  BlockRun roomy(*opened_.model, *opened_.backend, sequences_, {});
  BlockRun tight(*opened_.model, *opened_.backend, sequences_, {.max_memory = 0});
  for (BlockRun* run : {&roomy, &tight}) seen_until(*run, "self_attn.o_proj");
  EXPECT_EQ(seen_until(roomy, "mlp.up_proj").size(), 2u * 3);
  EXPECT_EQ(seen_until(tight, "mlp.up_proj").size(), 2u * 6);
  EXPECT_EQ(seen_in_advance(roomy).size(), 2u * 4);
  EXPECT_EQ(seen_in_advance(tight).size(), 2u * 7);
  for (BlockRun* run : {&roomy, &tight}) run->finish();
  // The next block attends anew.
  for (BlockRun* run : {&roomy, &tight}) EXPECT_EQ(seen_in_advance(*run).size(), 2u * 7);
  for (BlockRun* run : {&roomy, &tight}) run->finish();
  for (size_t i = 0; i < sequences_.size(); ++i) {
    const Tensor a = roomy.logits(i), b = tight.logits(i);
    EXPECT_TRUE(std::ranges::equal(a.bytes(), b.bytes())) << "sequence " << i;
  }
}

}  // namespace
}  // namespace nibble
