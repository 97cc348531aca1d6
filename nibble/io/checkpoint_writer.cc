// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/checkpoint_writer.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/io/file_handle.h"
#include "nibble/io/shard_writer.h"
#include "nibble/io/staged_folder.h"
#include "nibble/io/weight_names.h"

namespace nibble {
namespace fs = std::filesystem;
namespace {

// Weights while their number is not known yet: names that no companion can have.
constexpr const char* kSpoolName = "model-spool.safetensors";
std::string staged_shard_name(size_t shard) { return fmt::format("model-{}.safetensors", shard); }

}  // namespace

void require_writable_destination(const fs::path& destination, bool overwrite) {
  std::error_code failure;
  const fs::file_status status = fs::status(destination, failure);
  if (status.type() == fs::file_type::not_found) return;
  if (status.type() == fs::file_type::none) {
    throw Error("cannot look at the destination").file(destination).got(failure.message());
  }
  if (!fs::is_directory(status)) {
    throw Error("destination is not a folder").file(destination).hint("give the name of a folder");
  }
  const bool empty = fs::is_empty(destination, failure);
  if (failure) throw Error("cannot read folder").file(destination).got(failure.message());
  if (!empty && !overwrite) {
    throw Error("destination exists and is not empty")
        .file(destination)
        .hint("choose another, or allow overwriting (--overwrite)");
  }
}

class CheckpointWriter::Impl {
 public:
  Impl(const fs::path& destination, CheckpointWriterOptions options)
      : destination_(destination),
        options_(std::move(options)),
        staging_(destination),
        shard_(staging_.path() / kSpoolName) {
    if (options_.max_shard_size <= 0) {
      throw Error("max_shard_size is not positive").got(std::to_string(options_.max_shard_size));
    }
  }

  void add(std::string name, const Tensor& tensor) {
    if (!tensor.defined()) throw Error("tensor is undefined").tensor(name);
    if (!tensor.device().is_cpu()) {
      throw Error("tensor is not on the host").tensor(name).got(tensor.device().name());
    }
    if (shard_of_.contains(name)) throw Error("tensor was added before").tensor(name);
    const TensorSpec spec{name, tensor.dtype(), tensor.shape()};
    const int64_t size = tensor.nbytes();
    // As transformers cuts: an oversized tensor becomes the next shard and the open one goes on.
    if (size > options_.max_shard_size) {
      write_single_tensor_shard(next_shard(), spec, tensor.bytes(), options_.metadata);
      shard_of_[std::move(name)] = shards_++;
    } else {
      if (shard_.data_size() > options_.max_shard_size - size) finish_shard();
      open_names_.push_back(name);
      shard_of_[std::move(name)] = kOpenShard;
      shard_.add(spec, tensor.bytes());
    }
    bytes_written_ += size;
  }

  FileHandle create_companion(const std::string& name) {
    const bool plain = !name.empty() && name != "." && name != ".." &&
                       name.find_first_of(std::string_view("/\0", 2)) == name.npos;
    if (!plain || is_weights_file(name)) {
      throw Error("not a name for a file beside the weights").got(name);
    }
    if (!companions_.insert(name).second) throw Error("file was added before").got(name);
    return FileHandle::create(staging_.path() / name);
  }

  void add_file(const std::string& name, std::string_view text) {
    FileHandle file = create_companion(name);
    file.append(text);
    file.flush();
  }

  void copy_file(const fs::path& from) {
    const FileHandle source = FileHandle::open(from);
    FileHandle file = create_companion(from.filename().string());
    file.append_range(source, 0, source.size());
    file.flush();
  }

  void commit() {
    if (shard_of_.empty()) throw Error("no tensor was added").file(destination_);
    if (!shard_.empty()) finish_shard();
    // In the order of moving: weights, then what describes them, the index at the end.
    std::vector<std::string> names;
    for (size_t i = 0; i < shards_; ++i) {
      names.push_back(shards_ == 1 ? std::string(kSingleWeightsName) : shard_name(i, shards_));
      fs::rename(staging_.path() / staged_shard_name(i), staging_.path() / names.back());
    }
    names.insert(names.end(), companions_.begin(), companions_.end());
    if (shards_ > 1) {
      write_index();
      names.emplace_back(kWeightsIndexName);
    }
    if (!options_.overwrite && staging_.destination_in_use()) {
      throw Error("destination was used by someone else meanwhile").file(destination_);
    }
    staging_.commit(names, is_saved_model_file);
  }

  // Runs one operation; after a failure what is staged may be incomplete and nothing more is taken.
  template <typename Operation>
  void guarded(const Operation& operation) {
    if (closed_) {
      throw Error("checkpoint is closed").file(destination_).hint("it was committed or failed");
    }
    closed_ = true;
    try {
      operation();
    } catch (const fs::filesystem_error& failure) {
      throw Error("cannot write checkpoint").file(destination_).got(failure.code().message());
    }
    closed_ = false;
  }

  void close() { closed_ = true; }
  int64_t bytes_written() const { return bytes_written_; }

 private:
  static constexpr size_t kOpenShard = SIZE_MAX;

  fs::path next_shard() const { return staging_.path() / staged_shard_name(shards_); }

  void finish_shard() {
    shard_.finish(next_shard(), options_.metadata);
    for (const std::string& name : open_names_) shard_of_[name] = shards_;
    open_names_.clear();
    ++shards_;
  }

  void write_index() {
    nlohmann::json index;  // sorts keys, as transformers does
    index["metadata"]["total_size"] = bytes_written_;
    if (options_.total_parameters) {
      index["metadata"]["total_parameters"] = *options_.total_parameters;
    }
    nlohmann::json& weight_map = index["weight_map"];
    for (const auto& [name, shard] : shard_of_) weight_map[name] = shard_name(shard, shards_);
    FileHandle file = FileHandle::create(staging_.path() / kWeightsIndexName);
    file.append(index.dump(2, ' ', /*ensure_ascii=*/true) + '\n');
    file.flush();
  }

  fs::path destination_;
  CheckpointWriterOptions options_;
  StagedFolder staging_;
  ShardWriter shard_;
  size_t shards_ = 0;  // finished ones
  std::map<std::string, size_t> shard_of_;
  std::vector<std::string> open_names_;  // of tensors in the open shard
  std::set<std::string> companions_;
  int64_t bytes_written_ = 0;
  bool closed_ = false;
};

CheckpointWriter::CheckpointWriter(const fs::path& destination, CheckpointWriterOptions options) {
  require_writable_destination(destination, options.overwrite);
  impl_ = std::make_unique<Impl>(destination, std::move(options));
}

CheckpointWriter::~CheckpointWriter() = default;

void CheckpointWriter::add(std::string name, const Tensor& tensor) {
  impl_->guarded([&] { impl_->add(std::move(name), tensor); });
}

void CheckpointWriter::add_file(const std::string& name, std::string_view text) {
  impl_->guarded([&] { impl_->add_file(name, text); });
}

void CheckpointWriter::copy_file(const fs::path& from) {
  impl_->guarded([&] { impl_->copy_file(from); });
}

void CheckpointWriter::commit() {
  impl_->guarded([&] { impl_->commit(); });
  impl_->close();
}

int64_t CheckpointWriter::bytes_written() const { return impl_->bytes_written(); }

}  // namespace nibble
