// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/hidden_states.h"

#include <fmt/format.h>

#include <utility>

#include "nibble/base/error.h"
#include "nibble/io/checksum.h"
#include "nibble/io/json_file.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::span<std::byte> writable_bytes(Tensor& tensor) {
  return std::as_writable_bytes(tensor.mutable_data<float>());
}

}  // namespace

HiddenStates::HiddenStates(std::span<const std::vector<int32_t>> sequences, int64_t width,
                           fs::path folder, int64_t max_memory)
    : folder_(std::move(folder)), width_(width), offsets_{0} {
  size_t kept = 0;
  for (const std::vector<int32_t>& ids : sequences) {
    offsets_.push_back(offsets_.back() +
                       static_cast<int64_t>(ids.size()) * width * size_of(DType::kF32));
    if (folder_.empty() || offsets_.back() <= max_memory) ++kept;
  }
  kept_.resize(kept);
  if (!folder_.empty()) fs::create_directories(folder_);
}

fs::path HiddenStates::data_path(int64_t block) const {
  return folder_ / fmt::format("block-{}.states", block);
}

fs::path HiddenStates::record_path(int64_t block) const {
  return folder_ / fmt::format("block-{}.json", block);
}

Tensor HiddenStates::read(const FileHandle& file, size_t sequence) const {
  const int64_t begin = offsets_[sequence], size = offsets_[sequence + 1] - begin;
  Tensor states = Tensor::empty(DType::kF32, {size / (width_ * size_of(DType::kF32)), width_});
  if (file.read_at(begin, writable_bytes(states)) != static_cast<size_t>(size)) {
    throw Error("file ended early").file(file.path()).at_byte(begin);
  }
  return states;
}

Tensor HiddenStates::get(size_t sequence) const {
  return sequence < kept_.size() ? kept_[sequence] : read(*inputs_, sequence);
}

void HiddenStates::set(size_t sequence, const Tensor& output) {
  if (sequence < kept_.size()) kept_[sequence] = output;
  if (folder_.empty()) return;
  if (!outputs_) {
    outputs_.emplace(FileHandle::create(data_path(block_ + 1)));
    output_checksum_ = 0;
  }
  outputs_->write_at(offsets_[sequence], output.bytes());
  output_checksum_ += checksum_of(output.bytes(), offsets_[sequence]);
}

void HiddenStates::advance() {
  inputs_.reset();
  if (outputs_) inputs_.emplace(std::move(*outputs_));
  outputs_.reset();
  input_checksum_ = output_checksum_;
  ++block_;
}

// Without a flush: a process may die at any moment and leave this whole. Where the system dies,
// too, the checksum tells.
void HiddenStates::save(const Json& record) const {
  if (folder_.empty()) return;
  Json json = {{"checksum", nullptr}, {"record", record}};
  if (inputs_) json["checksum"] = input_checksum_;
  const fs::path path = record_path(block_), unfinished = folder_ / "unfinished";
  fs::remove(unfinished);
  FileHandle::create(unfinished).append(format_json(json));
  fs::rename(unfinished, path);
}

void HiddenStates::forget_previous() const {
  if (folder_.empty()) return;
  fs::remove(record_path(block_ - 1));
  fs::remove(data_path(block_ - 1));
}

std::optional<Json> HiddenStates::read_record(int64_t block) {
  if (!fs::exists(record_path(block))) return std::nullopt;
  try {
    Json json = read_json_file(record_path(block));
    const Json& checksum = json.at("checksum");
    if (!checksum.is_null()) {
      const FileHandle file = FileHandle::open(data_path(block));
      std::vector<Tensor> kept;
      uint64_t sum = 0;
      for (size_t i = 0; i < size(); ++i) {
        Tensor states = read(file, i);
        sum += checksum_of(states.bytes(), offsets_[i]);
        if (i < kept_.size()) kept.push_back(std::move(states));
      }
      if (sum != checksum.get<uint64_t>()) return std::nullopt;
      kept_ = std::move(kept);
      input_checksum_ = sum;
      inputs_.emplace(FileHandle::open(data_path(block)));
    }
    block_ = block;
    return json.at("record");
  } catch (const Json::exception&) {
    return std::nullopt;
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::optional<Json> HiddenStates::restore(int64_t block) {
  if (folder_.empty()) return std::nullopt;
  std::optional<Json> record = read_record(block);
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const bool ours = entry.path() == data_path(block) || entry.path() == record_path(block);
    if (!record || !ours) fs::remove(entry.path());
  }
  return record;
}

}  // namespace nibble
