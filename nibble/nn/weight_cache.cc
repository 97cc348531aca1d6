// SPDX-License-Identifier: Apache-2.0
#include "nibble/nn/weight_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "nibble/base/atomic_file.h"
#include "nibble/base/error.h"
#include "nibble/format/weight_parts.h"
#include "nibble/io/checksum.h"
#include "nibble/io/page_advice.h"
#include "nibble/io/safetensors.h"

namespace nibble {
namespace fs = std::filesystem;
namespace {

// Metadata beside the values of the weight.
constexpr const char* kKeyName = "key";
constexpr const char* kChecksumName = "checksum";
constexpr const char* kPaddingName = "padding";

constexpr int64_t kChecksumChunk = int64_t{1} << 20;
// A whole cache line, and the widest vector: codes then lie as in memory of their own.
constexpr size_t kDataAlignment = 64;
// No module takes as long to write: what is older was left by a process that was killed.
constexpr std::chrono::hours kAbandonedAfter{1};

using Metadata = std::map<std::string, std::string>;

uint64_t checksum_of_tensor(const Tensor& tensor, ThreadPool& pool) {
  const auto bytes = tensor.bytes();
  std::atomic<uint64_t> sum{0};
  const int64_t chunks = (std::ssize(bytes) + kChecksumChunk - 1) / kChecksumChunk;
  pool.parallel_for(chunks, 1, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kChecksumChunk;
    const int64_t count = std::min(end * kChecksumChunk, std::ssize(bytes)) - first;
    sum +=
        checksum_of(bytes.subspan(static_cast<size_t>(first), static_cast<size_t>(count)), first);
  });
  return sum;
}

// Of all that is read of a file.
std::string checksum_of_file(const std::map<std::string, Tensor>& tensors, Metadata metadata,
                             ThreadPool& pool) {
  metadata.erase(kChecksumName);
  std::string text;
  for (const auto& [name, value] : metadata) text += fmt::format("{}={}\n", name, value);
  for (const auto& [name, tensor] : tensors) {
    text += fmt::format("{} {} {} {:016x}\n", name, torch_name(tensor.dtype()),
                        to_string(tensor.shape()), checksum_of_tensor(tensor, pool));
  }
  return fmt::format("{:016x}", checksum_of(std::as_bytes(std::span(std::as_const(text))), 0));
}

// In memory, not in a file of the model.
bool has_codes_of_its_own(const WeightParts& parts) {
  const auto codes = parts.tensors.find("codes");
  return codes != parts.tensors.end() && !is_mapped(codes->second);
}

void remove_abandoned_files(const fs::path& folder) {
  std::error_code ignored;  // they only take up space
  const auto now = fs::file_time_type::clock::now();
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.path().extension() != ".tmp") continue;
    const auto written = fs::last_write_time(entry.path(), ignored);
    if (!ignored && now - written > kAbandonedAfter) fs::remove(entry.path(), ignored);
  }
}

}  // namespace

WeightCache::WeightCache(const fs::path& folder, WeightCacheKey key, ThreadPool& pool)
    : folder_(folder / key.slot), key_(std::move(key.text)), pool_(pool) {}

fs::path WeightCache::file_of(const std::string& module) const {
  return folder_ / (module + ".safetensors");
}

std::optional<Weight> WeightCache::find(const std::string& module, int64_t rows, int64_t cols) {
  const fs::path path = file_of(module);
  std::error_code unreachable;  // such a file cannot be written either, which is told then
  if (!fs::exists(path, unreachable)) return std::nullopt;
  try {
    Weight weight = read(path);
    if (weight.rows() != rows || weight.cols() != cols) {
      throw Error("the weight has another shape").file(path);
    }
    ++found_;
    return weight;
  } catch (const Error& error) {
    if (refused_++ == 0) refusal_ = error.what();
    return std::nullopt;
  }
}

Weight WeightCache::keep(const std::string& module, const Weight& weight) {
  if (!failure_.empty() || !has_codes_of_its_own(parts_of(weight))) return weight;
  const fs::path path = file_of(module);
  try {
    write(path, weight);
    Weight mapped = read(path);
    ++stored_;
    return mapped;
  } catch (const Error& error) {
    failure_ = error.what();
  } catch (const fs::filesystem_error& error) {
    failure_ = Error("cannot create folder").file(folder_).got(error.code().message()).what();
  }
  return weight;
}

Weight WeightCache::read(const fs::path& path) const {
  const SafetensorsFile file = SafetensorsFile::open(path);
  WeightParts parts;
  parts.values = file.metadata();
  const auto value = [&](const char* name) {
    const auto found = parts.values.find(name);
    return found == parts.values.end() ? std::string() : found->second;
  };
  if (value(kKeyName) != key_) {
    throw Error("made from another state of the model's files, or by another nibble").file(path);
  }
  for (const TensorInfo& info : file.tensors()) parts.tensors.emplace(info.name, file.tensor(info));
  if (value(kChecksumName) != checksum_of_file(parts.tensors, parts.values, pool_)) {
    throw Error("the file is damaged: it has another checksum").file(path);
  }
  try {
    return weight_of(parts);
  } catch (Error& error) {
    throw error.file(path);
  }
}

// Without a flush to the disk: what a power cut tears has another checksum.
void WeightCache::write(const fs::path& path, const Weight& weight) {
  if (stored_ == 0) {
    fs::create_directories(folder_);
    remove_abandoned_files(folder_);
  }
  const WeightParts parts = parts_of(weight);
  std::vector<TensorSpec> specs;
  std::vector<Tensor> tensors;
  for (const auto& [name, tensor] : parts.tensors) {
    specs.push_back({name, tensor.dtype(), tensor.shape()});
    tensors.push_back(tensor);
  }
  Metadata metadata = parts.values;
  metadata[kKeyName] = key_;
  metadata[kPaddingName] = "";
  metadata[kChecksumName] = std::string(16, '0');  // as long as it will be
  const size_t excess = safetensors_header(specs, metadata).size() % kDataAlignment;
  metadata[kPaddingName] = std::string((kDataAlignment - excess) % kDataAlignment, ' ');
  metadata[kChecksumName] = checksum_of_file(parts.tensors, metadata, pool_);

  AtomicFile file(path);
  file.write(safetensors_header(specs, metadata));
  for (const size_t i : safetensors_order(specs)) file.write(tensors[i].bytes());
  file.commit_unflushed();
}

}  // namespace nibble
