// SPDX-License-Identifier: Apache-2.0
//
// What the tests of quant/ share: error texts, folders that go away, small checkpoints.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/io/checkpoint.h"
#include "nibble/io/checkpoint_writer.h"
#include "nibble/quant/scheme.h"

namespace nibble {

inline std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// A checkpoint in a folder of its own, which lives as long as this.
class TemporaryCheckpoint {
 public:
  explicit TemporaryCheckpoint(const std::vector<NamedTensor>& tensors) {
    std::string pattern = (std::filesystem::temp_directory_path() / "nibble-quant-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw Error("cannot make a temporary folder");
    folder_ = pattern;
    CheckpointWriter writer(folder_ / "model");
    for (const NamedTensor& item : tensors) writer.add(item.name, item.tensor);
    writer.commit();
    checkpoint_ = Checkpoint::open(folder_ / "model");
  }
  ~TemporaryCheckpoint() { std::filesystem::remove_all(folder_); }
  TemporaryCheckpoint(const TemporaryCheckpoint&) = delete;
  TemporaryCheckpoint& operator=(const TemporaryCheckpoint&) = delete;

  const Checkpoint& operator*() const { return checkpoint_; }
  std::string file() const { return checkpoint_.files().front().path().string(); }

 private:
  std::filesystem::path folder_;
  Checkpoint checkpoint_;
};

}  // namespace nibble
