// SPDX-License-Identifier: Apache-2.0
//
// What the tests of quant/ share: error texts, folders that go away, small checkpoints.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/io/checkpoint.h"
#include "nibble/io/checkpoint_writer.h"
#include "nibble/quant/scheme.h"
#include "tests/testing/message_of.h"
#include "tests/testing/scratch_folder.h"

namespace nibble {

using testing::message_of;

// For what asks for threads: results do not depend on their number.
inline ThreadPool& test_pool() {
  static ThreadPool pool(2);
  return pool;
}

// A checkpoint in a folder of its own, which lives as long as this.
class TemporaryCheckpoint {
 public:
  explicit TemporaryCheckpoint(const std::vector<NamedTensor>& tensors) {
    CheckpointWriter writer(folder_ / "model");
    for (const NamedTensor& item : tensors) writer.add(item.name, item.tensor);
    writer.commit();
    checkpoint_ = Checkpoint::open(folder_ / "model");
  }

  const Checkpoint& operator*() const { return checkpoint_; }
  std::string file() const { return checkpoint_.files().front().path().string(); }

 private:
  testing::ScratchFolder folder_;
  Checkpoint checkpoint_;
};

}  // namespace nibble
