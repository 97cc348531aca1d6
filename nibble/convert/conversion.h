// SPDX-License-Identifier: Apache-2.0
//
// How every job of this folder goes over a model: step by step, a source tensor at a time, from a
// mapped file to the files being written. All threads of the pool read, compute and write slices
// that fit into their caches, so that the only memory that grows with a tensor is what a scheme
// makes of it. Finished steps are recorded, which is what makes a job resumable.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "nibble/base/progress.h"
#include "nibble/base/thread_pool.h"
#include "nibble/convert/conversion_report.h"
#include "nibble/format/weight.h"
#include "nibble/io/checkpoint.h"
#include "nibble/io/checkpoint_writer.h"

namespace nibble {

// Elements per slice: input, floats and output of one together stay in a second-level cache.
inline constexpr int64_t kSliceElements = int64_t{64} << 10;

class Conversion {
 public:
  // `job`: the command and its options, whatever the bytes of the result depend on; the source is
  // added with describe_source(). Nothing is written before start().
  Conversion(std::filesystem::path destination, JobDescription job, ThreadPool& pool,
             CheckpointWriterOptions writer_options, Progress* progress);

  // Until start(); what a caller changes belongs to the job, too.
  CheckpointWriterOptions& writer_options() { return writer_options_; }

  // The files of the source, each with size and time of its last change.
  void describe_source(const Checkpoint& checkpoint);
  void describe_file(const std::filesystem::path& file);

  void start(std::string_view what, int64_t total_bytes);

  // Runs `body`, which writes what becomes of the source tensor `name` (`bytes` long), unless the
  // work that is resumed has done so. An interruption leaves the finished steps to be resumed.
  void step(const std::string& name, int64_t bytes, const std::function<void()>& body);

  // To be called within a step.
  void write(const std::string& name, const Tensor& tensor);
  void write_cast(const std::string& name, const Tensor& tensor, DType dtype);
  void write_decoded(const std::string& name, const Weight& weight, DType dtype);
  // `rows_of(begin, end)` gives rows of a tensor of this dtype and shape (the first axis; a vector
  // is one row), from any thread; `unit`: a number of rows that stay together.
  void write_rows(const TensorSpec& spec, int64_t unit,
                  const std::function<Tensor(int64_t begin, int64_t end)>& rows_of);

  CheckpointWriter& writer() { return *writer_; }
  ThreadPool& pool() { return pool_; }
  ConversionReport& report() { return report_; }

  ConversionReport commit();

 private:
  std::filesystem::path destination_;
  CheckpointWriterOptions writer_options_;
  ThreadPool& pool_;
  Progress* progress_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::unique_ptr<CheckpointWriter> writer_;
  ConversionReport report_;
};

}  // namespace nibble
