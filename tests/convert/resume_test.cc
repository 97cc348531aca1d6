// SPDX-License-Identifier: Apache-2.0
//
// Jobs that are interrupted, killed or find damaged work, and what --resume makes of it: the files
// of an uninterrupted run, byte for byte.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "nibble/base/atomic_file.h"
#include "nibble/base/error.h"
#include "nibble/convert/convert_model.h"
#include "nibble/convert/quantize_model.h"
#include "nibble/io/staged_folder.h"
#include "nibble/quant/registry.h"
#include "tests/generate/tiny_model.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

BitsAndBytesConfig nf4() {
  BitsAndBytesConfig config;
  config.load_in_4bit = true;
  config.bnb_4bit_quant_type = "nf4";
  config.bnb_4bit_use_double_quant = true;
  return config;
}

std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    files[entry.path().filename().string()] = read_text_file(entry.path());
  }
  return files;
}

// Calls `at_end` when so many steps are done.
class AtStep : public Progress {
 public:
  AtStep(int steps, std::function<void()> at_end) : left_(steps), at_end_(std::move(at_end)) {}
  void advance(int64_t, std::string_view) override {
    if (--left_ == 0) at_end_();
  }

 private:
  int left_;
  std::function<void()> at_end_;
};

void interrupt() { throw Interrupted(); }

class ResumeTest : public ::testing::Test {
 protected:
  ResumeTest() {
    testing::TinyModel().write(source_);
    quantize(expected_, {});
  }

  CheckpointWriterOptions options(bool resume, int64_t max_shard_size = 20000) const {
    CheckpointWriterOptions options;
    options.max_shard_size = max_shard_size;  // several shards, some of one tensor
    options.resume = resume;
    return options;
  }

  ConversionReport quantize(const fs::path& destination,
                            std::optional<CheckpointWriterOptions> with,
                            Progress* progress = nullptr) const {
    ThreadPool pool(2);
    return quantize_model(source_, destination, *make_scheme(nf4()), pool,
                          with.value_or(options(false)), progress);
  }

  // A process that quantizes to `out_` and dies after so many steps without a chance to clean up.
  // False when it came to its end before.
  bool quantize_and_die(int steps, bool resume) const {
    const pid_t child = ::fork();
    if (child == 0) {
      AtStep dies(steps, [] { ::raise(SIGKILL); });
      quantize(out_, options(resume), &dies);
      ::_exit(0);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFSIGNALED(status);
  }

  fs::path work() const { return StagedFolder::abandoned(out_).at(0); }

  std::string error_of_resuming(const CheckpointWriterOptions& with) const {
    try {
      quantize(out_, with);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  void expect_result() const {
    EXPECT_EQ(files_of(out_), files_of(expected_));
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      EXPECT_NE(entry.path().extension(), ".tmp") << entry.path();
    }
  }

  testing::ScratchFolder folder_;
  const fs::path source_ = folder_ / "plain", expected_ = folder_ / "expected";
  const fs::path out_ = folder_ / "out";
};

TEST_F(ResumeTest, AKillAfterAnyStepChangesNothing) {
  ASSERT_GT(files_of(expected_).size(), 5u);  // shards
  for (int steps = 1; quantize_and_die(steps, false); ++steps) {
    EXPECT_FALSE(fs::exists(out_));
    const ConversionReport report = quantize(out_, options(true));
    EXPECT_EQ(report.modules_converted, 14);
    expect_result();
    fs::remove_all(out_);
  }
}

TEST_F(ResumeTest, KillsMayFollowEachOther) {
  int runs = 0;
  while (quantize_and_die(++runs + 3, true)) {
  }
  EXPECT_GT(runs, 3);
  expect_result();
}

TEST_F(ResumeTest, WhatAnEarlierRunDidIsNoProgressOfThisOne) {
  struct Counted : Progress {
    void begin(std::string_view, int64_t units, Unit) override { total = units; }
    void advance(int64_t units, std::string_view) override { advanced += units; }
    void skip(int64_t units) override { skipped += units; }
    int64_t total = 0, advanced = 0, skipped = 0;
  };
  ASSERT_TRUE(quantize_and_die(5, false));
  Counted progress;
  quantize(out_, options(true), &progress);
  EXPECT_GT(progress.skipped, 0);
  EXPECT_GT(progress.advanced, 0);
  EXPECT_EQ(progress.skipped + progress.advanced, progress.total);
  expect_result();
}

TEST_F(ResumeTest, AnInterruptionKeepsWhatIsDone) {
  AtStep progress(5, interrupt);
  EXPECT_THROW(quantize(out_, options(false), &progress), Interrupted);
  EXPECT_FALSE(fs::exists(out_));
  EXPECT_TRUE(has_unfinished_work(out_));
  quantize(out_, options(true));
  expect_result();
}

TEST_F(ResumeTest, WithoutResumeTheWorkGoes) {
  AtStep progress(5, interrupt);
  EXPECT_THROW(quantize(out_, options(false), &progress), Interrupted);
  quantize(out_, options(false));
  expect_result();
}

TEST_F(ResumeTest, ResumingNothingStartsAnew) {
  quantize(out_, options(true));
  expect_result();
}

TEST_F(ResumeTest, WhatFinishedWorkLeftGoes) {
  quantize(out_, options(false));
  fs::create_directory(folder_ / ".out.0123abcd.tmp");  // by a process killed amid its clean-up
  EXPECT_NE(error_of_resuming(options(true)).find("no unfinished work"), std::string::npos);
  expect_result();
}

TEST_F(ResumeTest, AnErrorLeavesNothing) {
  AtStep progress(5, [] { throw Error("full"); });
  EXPECT_THROW(quantize(out_, options(false), &progress), Error);
  EXPECT_FALSE(has_unfinished_work(out_));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()), 2);
}

TEST_F(ResumeTest, AnotherJobIsRefused) {
  ASSERT_TRUE(quantize_and_die(5, false));
  EXPECT_NE(error_of_resuming(options(true, 50000))
                .find("the unfinished work is of another job: its max_shard_size differs: "
                      "expected 50000, got 20000; repeat the command"),
            std::string::npos);
  fs::last_write_time(source_ / "model.safetensors", fs::file_time_type::clock::now());
  EXPECT_NE(error_of_resuming(options(true)).find("its source file"), std::string::npos);
  EXPECT_TRUE(has_unfinished_work(out_));
}

TEST_F(ResumeTest, DamagedWorkIsDoneAgain) {
  for (const char* file : {"built/model-0.safetensors", "built/model-1.safetensors",
                           "built/model-spool.safetensors", "journal"}) {
    for (const bool cut : {true, false}) {
      int steps = 12;  // until the file is there
      do {
        ASSERT_TRUE(quantize_and_die(++steps, false));
      } while (!fs::exists(work() / file));
      const fs::path path = work() / file;
      const auto size = static_cast<int64_t>(fs::file_size(path));
      if (cut) {
        fs::resize_file(path, static_cast<uintmax_t>(size / 2));
      } else {
        std::fstream stream(path, std::ios::in | std::ios::out | std::ios::binary);
        stream.seekp(size - 9);
        stream.put('\x01');
      }
      quantize(out_, options(true));
      expect_result();
      fs::remove_all(out_);
    }
  }
}

TEST_F(ResumeTest, AHalfDoneCommitIsCompleted) {
  CheckpointWriterOptions with;
  with.overwrite = true;
  with.max_shard_size = 100;
  with.job = {{"command", "test"}};
  const auto write = [](CheckpointWriter& writer) {
    for (const char* name : {"a", "b"}) writer.add(name, Tensor::zeros(DType::kF32, {4000}));
    writer.add_file("config.json", "new");
  };
  const fs::path whole = folder_ / "whole";
  CheckpointWriter uninterrupted(whole, with);
  write(uninterrupted);
  uninterrupted.commit();

  fs::create_directory(out_);
  write_file_atomically(out_ / "config.json", "old");
  write_file_atomically(out_ / "mine.txt", "mine");
  const pid_t child = ::fork();
  if (child == 0) {
    CheckpointWriter writer(out_, with);
    write(writer);
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  // Dead amid the last renames: all files complete, one in place, one old one out of the way.
  const fs::path folder = work();
  fs::remove_all(folder / "built");
  fs::copy(whole, folder / "built");
  std::ofstream(folder / "journal", std::ios::app)
      << R"({"kind":"commit","folder":"","files":["model-00001-of-00002.safetensors",)"
      << R"("model-00002-of-00002.safetensors","config.json","model.safetensors.index.json"]})"
      << '\n';
  fs::rename(folder / "built/model-00001-of-00002.safetensors",
             out_ / "model-00001-of-00002.safetensors");
  fs::create_directory(folder / "replaced");
  fs::rename(out_ / "config.json", folder / "replaced/config.json");

  EXPECT_THROW(CheckpointWriter(out_, with), Error);  // would lose the old config.json
  with.resume = true;
  CheckpointWriter resumed(out_, with);
  write(resumed);
  resumed.commit();
  auto expected = files_of(whole);
  expected["mine.txt"] = "mine";
  EXPECT_EQ(files_of(out_), expected);
  EXPECT_TRUE(StagedFolder::abandoned(out_).empty());
}

TEST_F(ResumeTest, ConvertAndDequantizeResumeToo) {
  ThreadPool pool(2);
  const fs::path back = folder_ / "back", halves = folder_ / "halves";
  const auto dequantize = [&](const fs::path& to, bool resume, Progress* progress) {
    dequantize_model(expected_, to, DType::kF16, pool, options(resume), progress);
  };
  const auto convert = [&](const fs::path& to, bool resume, Progress* progress) {
    convert_model(source_, to, DType::kBF16, pool, options(resume), progress);
  };
  dequantize(back, false, nullptr);
  convert(halves, false, nullptr);
  for (const int steps : {1, 7, 15}) {
    AtStep first(steps, interrupt), second(steps, interrupt);
    EXPECT_THROW(dequantize(out_, false, &first), Interrupted);
    dequantize(out_, true, nullptr);
    EXPECT_EQ(files_of(out_), files_of(back));
    fs::remove_all(out_);
    EXPECT_THROW(convert(out_, false, &second), Interrupted);
    convert(out_, true, nullptr);
    EXPECT_EQ(files_of(out_), files_of(halves));
    fs::remove_all(out_);
  }
}

}  // namespace
}  // namespace nibble
