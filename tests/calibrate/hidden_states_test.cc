// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/hidden_states.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <set>
#include <string>

#include "nibble/base/atomic_file.h"
#include "tests/testing/scratch_folder.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kWidth = 4;
constexpr int64_t kAll = std::numeric_limits<int64_t>::max();

class HiddenStatesTest : public ::testing::Test {
 protected:
  HiddenStates states(int64_t max_memory = kAll) const {
    return HiddenStates(sequences_, kWidth, work_, max_memory);
  }

  // Other numbers for each block and sequence.
  Tensor values(int64_t block, size_t sequence) const {
    const auto tokens = static_cast<int64_t>(sequences_[sequence].size());
    std::vector<float> values;
    for (int64_t i = 0; i < tokens * kWidth; ++i) {
      values.push_back(static_cast<float>(100 * block + 10 * static_cast<int64_t>(sequence)) +
                       0.5f * static_cast<float>(i));
    }
    return Tensor::from(values, {tokens, kWidth});
  }

  void set_all(HiddenStates& states, int64_t block) const {
    for (size_t i = 0; i < states.size(); ++i) states.set(i, values(block, i));
    states.advance();
  }

  void expect_inputs_of(const HiddenStates& states, int64_t block) const {
    EXPECT_EQ(states.block(), block);
    for (size_t i = 0; i < sequences_.size(); ++i) {
      const Tensor found = states.get(i), wanted = values(block, i);
      EXPECT_EQ(found.shape(), wanted.shape());
      EXPECT_TRUE(std::ranges::equal(found.bytes(), wanted.bytes())) << i;
    }
  }

  std::set<std::string> files() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(work_)) {
      names.insert(entry.path().filename().string());
    }
    return names;
  }

  testing::ScratchFolder folder_;
  const fs::path work_ = folder_ / "work";
  const std::vector<std::vector<int32_t>> sequences_ = {{1, 2, 3}, {4}, {5, 6}};
};

TEST_F(HiddenStatesTest, AreTheSameFromMemoryAndFromFiles) {
  // Of 48, 16 and 32 bytes: none, the first, the first two, and all in memory.
  for (const int64_t budget : {int64_t{0}, int64_t{50}, int64_t{64}, kAll}) {
    fs::remove_all(work_);
    HiddenStates some = states(budget);
    set_all(some, 0);
    expect_inputs_of(some, 0);
    for (size_t i = 0; i < some.size(); ++i) {
      EXPECT_EQ(some.get(i).data<float>()[0], values(0, i).data<float>()[0]);
      some.set(i, values(1, i));
    }
    some.advance();
    expect_inputs_of(some, 1);
  }
}

TEST_F(HiddenStatesTest, NeedNoFolder) {
  HiddenStates some(sequences_, kWidth, {}, 0);
  set_all(some, 0);
  some.save(nullptr);
  some.forget_previous();
  expect_inputs_of(some, 0);
  EXPECT_FALSE(some.restore(0));
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

TEST_F(HiddenStatesTest, AreFoundAgainByWhatWasSavedLast) {
  HiddenStates before = states();
  set_all(before, 0);
  before.save({"nothing"});
  set_all(before, 1);
  before.save({"block 0"});
  // Both are there until the caller has done with block 0.
  for (const int64_t block : {1, 0}) {
    const fs::path copy = folder_ / "copy";
    fs::remove_all(copy);
    fs::copy(work_, copy);
    HiddenStates after(sequences_, kWidth, copy, 50);
    const auto record = after.restore(block);
    ASSERT_TRUE(record);
    EXPECT_EQ(record->front(), block == 0 ? "nothing" : "block 0");
    expect_inputs_of(after, block);
    set_all(after, block + 1);
    expect_inputs_of(after, block + 1);
  }
  before.forget_previous();
  EXPECT_EQ(files(), (std::set<std::string>{"block-1.json", "block-1.states"}));
}

TEST_F(HiddenStatesTest, OfTheLastBlockOnlyTheRecordIsKept) {
  HiddenStates before = states();
  set_all(before, 0);
  before.advance();
  before.save({"all"});
  before.forget_previous();
  EXPECT_EQ(files(), (std::set<std::string>{"block-1.json"}));
  HiddenStates after = states();
  EXPECT_EQ(after.restore(1)->front(), "all");
  EXPECT_EQ(after.block(), 1);
}

TEST_F(HiddenStatesTest, AreNotTakenWhenTheyAreNotWhatWasSaved) {
  const auto expect_lost = [&](const auto& damage) {
    fs::remove_all(work_);
    HiddenStates before = states();
    set_all(before, 0);
    before.save({"nothing"});
    damage();
    HiddenStates after = states();
    EXPECT_FALSE(after.restore(0));
    EXPECT_TRUE(files().empty());
    set_all(after, 0);
    expect_inputs_of(after, 0);
  };
  const fs::path data = work_ / "block-0.states", record = work_ / "block-0.json";
  expect_lost([&] { fs::remove(data); });
  expect_lost([&] { fs::remove(record); });
  expect_lost([&] { fs::resize_file(data, 95); });
  expect_lost([&] { fs::resize_file(record, 5); });
  expect_lost([&] {
    std::string bytes = read_text_file(data);
    bytes[70] = static_cast<char>(bytes[70] + 1);
    write_file_atomically(data, bytes);
  });
}

}  // namespace
}  // namespace nibble
