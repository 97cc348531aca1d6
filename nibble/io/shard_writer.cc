// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/shard_writer.h"

#include <system_error>
#include <utility>

namespace nibble {

void ShardWriter::add(TensorSpec spec, std::span<const std::byte> bytes) {
  if (!spool_) spool_.emplace(FileHandle::create(spool_path_));
  spool_->append(bytes);
  specs_.push_back(std::move(spec));
  offsets_.push_back(data_size_);
  data_size_ += std::ssize(bytes);
}

void ShardWriter::finish(const std::filesystem::path& target,
                         const std::map<std::string, std::string>& metadata) {
  FileHandle shard = FileHandle::create(target);
  shard.append(safetensors_header(specs_, metadata));
  for (const size_t i : safetensors_order(specs_)) {
    const int64_t end = i + 1 < offsets_.size() ? offsets_[i + 1] : data_size_;
    shard.append_range(*spool_, offsets_[i], end - offsets_[i]);
  }
  // Before the flush, so that the kernel need not write the spool out.
  spool_.reset();
  std::error_code ignored;  // it goes with its folder at the latest
  std::filesystem::remove(spool_path_, ignored);
  shard.flush();
  specs_.clear();
  offsets_.clear();
  data_size_ = 0;
}

void write_single_tensor_shard(const std::filesystem::path& target, const TensorSpec& spec,
                               std::span<const std::byte> bytes,
                               const std::map<std::string, std::string>& metadata) {
  FileHandle shard = FileHandle::create(target);
  shard.append(safetensors_header({&spec, 1}, metadata));
  shard.append(bytes);
  shard.flush();
}

}  // namespace nibble
