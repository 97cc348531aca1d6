// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/shard_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/io/checksum.h"

namespace nibble {
namespace {

int64_t bytes_of(const TensorSpec& spec) {
  return checked_numel(spec.shape, size_of(spec.dtype)) * size_of(spec.dtype);
}

}  // namespace

void TensorSink::write(int64_t offset, std::span<const std::byte> bytes) {
  if (offset < 0 || offset > size_ || std::ssize(bytes) > size_ - offset) {
    throw Error("bytes lie outside of their tensor")
        .expected(fmt::format("at most {} bytes", size_))
        .got(fmt::format("{} bytes from byte {}", bytes.size(), offset));
  }
  file_.write_at(begin_ + offset, bytes);
  checksum_ += checksum_of(bytes, offset);
  written_ += std::ssize(bytes);
}

uint64_t TensorSink::finish() const {
  if (written_ != size_) {
    throw Error("tensor was not written as a whole")
        .expected(fmt::format("{} bytes", size_))
        .got(fmt::format("{}", written_.load()));
  }
  return checksum_;
}

uint64_t ShardWriter::add(TensorSpec spec, const TensorSource& source) {
  const int64_t size = bytes_of(spec);
  if (!spool_) {
    remove_spool();
    spool_.emplace(FileHandle::create(spool_path_));
  }
  TensorSink sink(*spool_, data_size_, size);
  source(sink);
  const uint64_t checksum = sink.finish();
  specs_.push_back(std::move(spec));
  offsets_.push_back(data_size_);
  data_size_ += size;
  return checksum;
}

size_t ShardWriter::resume(std::span<const TensorSpec> specs, std::span<const uint64_t> checksums) {
  if (!std::filesystem::exists(spool_path_)) return 0;
  spool_.emplace(FileHandle::reopen(spool_path_));
  for (size_t i = 0; i < specs.size(); ++i) {
    const int64_t size = bytes_of(specs[i]);
    if (checksum_of_range(*spool_, data_size_, size) != checksums[i]) break;
    specs_.push_back(specs[i]);
    offsets_.push_back(data_size_);
    data_size_ += size;
  }
  spool_->truncate(data_size_);
  if (specs_.empty()) {
    spool_.reset();
    remove_spool();
  }
  return specs_.size();
}

void ShardWriter::finish(const std::filesystem::path& target,
                         const std::map<std::string, std::string>& metadata) {
  FileHandle shard = FileHandle::create(target);
  shard.append(safetensors_header(specs_, metadata));
  for (const size_t i : safetensors_order(specs_)) {
    const int64_t end = i + 1 < offsets_.size() ? offsets_[i + 1] : data_size_;
    shard.append_range(*spool_, offsets_[i], end - offsets_[i]);
  }
  shard.start_writeback(0, shard.size());
  spool_.reset();
  specs_.clear();
  offsets_.clear();
  data_size_ = 0;
}

void ShardWriter::remove_spool() noexcept {
  std::error_code ignored;  // it goes with its folder at the latest
  std::filesystem::remove(spool_path_, ignored);
}

uint64_t write_single_tensor_shard(const std::filesystem::path& target, const TensorSpec& spec,
                                   const TensorSource& source,
                                   const std::map<std::string, std::string>& metadata) {
  FileHandle shard = FileHandle::create(target);
  shard.append(safetensors_header({&spec, 1}, metadata));
  TensorSink sink(shard, shard.size(), bytes_of(spec));
  source(sink);
  shard.start_writeback(0, shard.size());
  return sink.finish();
}

std::optional<uint64_t> checksum_of_range(const FileHandle& file, int64_t begin, int64_t size) {
  constexpr int64_t kChunk = int64_t{1} << 20;
  std::vector<std::byte> buffer(static_cast<size_t>(std::min(size, kChunk)));
  uint64_t sum = 0;
  for (int64_t done = 0; done < size; done += kChunk) {
    const auto part = std::span(buffer).first(static_cast<size_t>(std::min(kChunk, size - done)));
    if (file.read_at(begin + done, part) != part.size()) return std::nullopt;
    sum += checksum_of(part, done);
  }
  return sum;
}

}  // namespace nibble
