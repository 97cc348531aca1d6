// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/conversion.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <set>
#include <span>
#include <system_error>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/io/page_advice.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

// Bytes per task of a plain copy: long enough to hide the cost of a system call.
constexpr int64_t kCopyBytes = int64_t{1} << 20;

}  // namespace

Conversion::Conversion(fs::path destination, JobDescription job, ThreadPool& pool,
                       CheckpointWriterOptions writer_options, Progress* progress)
    : destination_(std::move(destination)),
      writer_options_(std::move(writer_options)),
      pool_(pool),
      progress_(progress) {
  writer_options_.job = std::move(job);
  require_writable_destination(destination_, writer_options_);
}

void Conversion::describe_source(const Checkpoint& checkpoint) {
  std::set<fs::path> files;
  for (const std::string& name : checkpoint.names()) files.insert(checkpoint.file_of(name));
  for (const fs::path& file : files) describe_file(file);
  if (fs::exists(checkpoint.folder() / "config.json")) {
    describe_file(checkpoint.folder() / "config.json");
  }
}

void Conversion::describe_file(const fs::path& file) {
  std::error_code failure;
  const uintmax_t size = fs::file_size(file, failure);
  const auto changed = fs::last_write_time(file, failure).time_since_epoch().count();
  if (failure) throw Error("cannot look at file").file(file).got(failure.message());
  writer_options_.job["source file " + fs::absolute(file).lexically_normal().string()] =
      fmt::format("{} bytes, changed at {}", size, changed);
}

void Conversion::start(std::string_view what, int64_t total_bytes) {
  writer_options_.job["max_shard_size"] = std::to_string(writer_options_.max_shard_size);
  for (const auto& [key, value] : writer_options_.metadata) {
    writer_options_.job["metadata " + key] = value;
  }
  writer_ = std::make_unique<CheckpointWriter>(destination_, writer_options_);
  report_.bytes_before = total_bytes;
  if (progress_) progress_->begin(what, total_bytes, Progress::Unit::kBytes);
}

void Conversion::step(const std::string& name, int64_t bytes, const std::function<void()>& body) {
  const bool resumed = writer_->is_done(name);
  if (!resumed) {
    body();
    writer_->mark_done(name);
    // Else glibc keeps the freed codes of every matrix: the small allocations that follow bite off
    // a little, and the next matrix, of the same size, no longer fits into the hole.
    ::malloc_trim(0);
  }
  try {
    if (progress_ && resumed) progress_->skip(bytes);
    if (progress_ && !resumed) progress_->advance(bytes, name);
  } catch (const Interrupted&) {
    writer_->suspend();
    throw;
  }
}

void Conversion::write(const std::string& name, const Tensor& tensor) {
  prefetch_pages(tensor);
  const std::span<const std::byte> bytes = tensor.bytes();
  const auto size = static_cast<int64_t>(bytes.size());
  writer_->add({name, tensor.dtype(), tensor.shape()}, [&](TensorSink& sink) {
    pool_.parallel_for(size, kCopyBytes, [&](int64_t begin, int64_t end) {
      sink.write(begin,
                 bytes.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
    });
  });
  drop_pages(tensor);
}

void Conversion::write_cast(const std::string& name, const Tensor& tensor, DType dtype) {
  if (tensor.dtype() == dtype) return write(name, tensor);
  prefetch_pages(tensor);
  const Tensor flat = tensor.reshape({tensor.numel()});
  writer_->add({name, dtype, tensor.shape()}, [&](TensorSink& sink) {
    pool_.parallel_for(tensor.numel(), kSliceElements, [&](int64_t begin, int64_t end) {
      sink.write(begin * size_of(dtype), to_dtype(flat.slice_rows(begin, end), dtype).bytes());
    });
  });
  drop_pages(tensor);
}

void Conversion::write_decoded(const std::string& name, const Weight& weight, DType dtype) {
  const int64_t cols = weight.cols();
  write_rows({name, dtype, {weight.rows(), cols}}, 1, [&](int64_t begin, int64_t end) {
    Tensor rows = Tensor::empty(DType::kF32, {end - begin, cols});
    for (int64_t row = begin; row < end; ++row) {
      Tensor one = rows.slice_rows(row - begin, row - begin + 1);
      weight.decode_row(row, one.mutable_data<float>());
    }
    return to_dtype(rows, dtype);
  });
}

void Conversion::write_rows(const TensorSpec& spec, int64_t unit,
                            const std::function<Tensor(int64_t, int64_t)>& rows_of) {
  const int64_t rows = spec.shape.size() < 2 ? 1 : spec.shape[0];
  const int64_t numel = checked_numel(spec.shape, size_of(spec.dtype));
  const int64_t row_size = rows == 0 ? 0 : numel / rows;
  const int64_t units =
      std::max<int64_t>(1, kSliceElements / std::max<int64_t>(1, row_size * unit));
  writer_->add(spec, [&](TensorSink& sink) {
    pool_.parallel_for((rows + unit - 1) / unit, units, [&](int64_t begin, int64_t end) {
      const Tensor slice = rows_of(begin * unit, std::min(rows, end * unit));
      sink.write(begin * unit * row_size * size_of(spec.dtype), slice.bytes());
    });
  });
}

ConversionReport Conversion::commit() {
  writer_->commit();
  report_.tensors = writer_->tensors();
  report_.bytes_after = writer_->bytes_written();
  report_.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  if (progress_) progress_->end();
  return report_;
}

}  // namespace nibble
