// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <system_error>
#include <tuple>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/io/json_file.h"
#include "nibble/io/safetensors.h"
#include "nibble/io/torch_file.h"
#include "nibble/io/weight_names.h"

namespace nibble {
namespace fs = std::filesystem;
namespace {

constexpr const char* kReadFormats =
    "model.safetensors or pytorch_model.bin, or the index of either with its shards";
constexpr const char* kMaybeIncomplete = "the download may be incomplete";
// An index names each tensor once, in about 100 bytes: this is enough for 2 million tensors.
constexpr JsonLimits kIndexLimits{int64_t{256} << 20, 16};

bool has_suffix(const fs::path& path, std::string_view suffix) {
  return path.filename().string().ends_with(suffix);
}

Error not_read_here(const fs::path& path) {
  Error error("file is in a format that is not read here");
  error.file(path).expected("a .safetensors, .bin, .pt, .pth or .ckpt file");
  if (has_suffix(path, ".gguf")) error.hint("turn it into a folder with `nibble convert`");
  return error;
}

// Says what the folder holds instead of weights that are read here.
Error no_weights_in(const fs::path& folder) {
  std::optional<fs::path> other;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const fs::path& path = entry.path();
    if (has_suffix(path, ".gguf") || is_torch_name(path.filename().string())) {
      if (!other || path < *other) other = path;
    }
  }
  Error error("folder holds no weights in a format that is read here");
  error.file(folder).expected(kReadFormats);
  if (other) {
    error.got(other->filename().string());
    error.hint(has_suffix(*other, ".gguf")
                   ? "turn the .gguf file into a folder with `nibble convert`"
                   : "name the file itself if it holds the model's weights");
  }
  return error;
}

// A shard must be a file of the index's own folder: the index may come from anyone.
bool is_plain_shard_name(std::string_view name) {
  return (name.ends_with(".safetensors") || name.ends_with(".bin")) &&
         name.find_first_of(std::string_view("/\\\0", 3)) == name.npos;
}

// Edits (insertions, removals, replacements) between two names, or `limit` when it is no less.
size_t edit_distance(std::string_view a, std::string_view b, size_t limit) {
  const size_t difference = a.size() > b.size() ? a.size() - b.size() : b.size() - a.size();
  if (difference >= limit) return limit;
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    size_t best = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
      best = std::min(best, row[j]);
    }
    if (best >= limit) return limit;
  }
  return std::min(row.back(), limit);
}

// The name with the fewest edits, the first of equals; empty when none shares half its letters.
std::string closest(std::string_view wanted, const std::vector<std::string>& names) {
  // Pairs of letters that may be compared: half a second's, and what 100,000 names of 70 letters
  // need. A file of long names must not make an error message the slowest part of the program.
  constexpr size_t kMostPairs = 500'000'000;
  std::string best;
  size_t limit = wanted.size() / 2 + 1;
  size_t pairs = 0;
  for (const std::string& name : names) {
    pairs += wanted.size() * name.size();
    if (pairs > kMostPairs) break;
    const size_t distance = edit_distance(wanted, name, limit);
    if (distance < limit) {
      limit = distance;
      best = name;
    }
  }
  return best;
}

}  // namespace

Checkpoint Checkpoint::open(const fs::path& model) {
  std::error_code failure;
  const fs::file_status status = fs::status(model, failure);
  if (!fs::exists(status)) {
    throw Error("no such file or folder")
        .file(model)
        .hint("models are read from local folders: download it first");
  }
  Checkpoint checkpoint;
  if (fs::is_directory(status)) {
    checkpoint.folder_ = model;
    checkpoint.open_folder();
  } else {
    checkpoint.folder_ = model.has_parent_path() ? model.parent_path() : fs::path(".");
    checkpoint.source_ = model;
    checkpoint.open_file(model);
    for (size_t i = 0; i < checkpoint.files_[0].tensors().size(); ++i) checkpoint.add_tensor(0, i);
  }
  std::sort(checkpoint.names_.begin(), checkpoint.names_.end());
  checkpoint.find_aliases();
  return checkpoint;
}

void Checkpoint::open_folder() {
  for (const std::string_view name :
       {kSingleWeightsName, kWeightsIndexName, kSingleTorchName, kTorchIndexName}) {
    const fs::path path = folder_ / name;
    std::error_code ignored;
    if (!fs::exists(path, ignored)) continue;
    source_ = path;
    if (name == kWeightsIndexName || name == kTorchIndexName) return open_shards(path);
    open_file(path);
    for (size_t i = 0; i < files_[0].tensors().size(); ++i) add_tensor(0, i);
    return;
  }
  throw no_weights_in(folder_);
}

void Checkpoint::open_file(const fs::path& path) {
  if (has_suffix(path, ".safetensors")) {
    files_.push_back(SafetensorsFile::open(path));
  } else if (is_torch_name(path.filename().string())) {
    files_.push_back(TorchFile::open(path));
  } else {
    throw not_read_here(path);
  }
}

void Checkpoint::add_tensor(size_t file, size_t tensor) {
  const TensorInfo& info = files_[file].tensors()[tensor];
  places_[info.name] = {file, tensor};
  names_.push_back(info.name);
}

void Checkpoint::find_aliases() {
  const auto info_at = [&](const Place& place) -> const TensorInfo& {
    return files_[place.file].tensors()[place.tensor];
  };
  std::vector<Place> places;
  for (const auto& [name, place] : places_) places.push_back(place);
  // Names of the same elements stand together then, the first of the file before the others.
  std::sort(places.begin(), places.end(), [&](const Place& a, const Place& b) {
    const TensorInfo &left = info_at(a), &right = info_at(b);
    return std::tie(a.file, left.offset, left.dtype, left.shape, left.strides, a.tensor) <
           std::tie(b.file, right.offset, right.dtype, right.shape, right.strides, b.tensor);
  });
  const Place* first = nullptr;
  for (const Place& place : places) {
    const TensorInfo& info = info_at(place);
    if (first && first->file == place.file && info.same_data(info_at(*first))) {
      aliases_[info.name] = info_at(*first).name;
    } else {
      total_bytes_ += info.nbytes;
      first = &place;
    }
  }
}

void Checkpoint::open_shards(const fs::path& index_path) {
  const nlohmann::ordered_json index = read_json_file(index_path, kIndexLimits);
  const auto weight_map = index.is_object() ? index.find("weight_map") : index.end();
  if (weight_map == index.end() || !weight_map->is_object()) {
    throw Error("index of shards is malformed")
        .file(index_path)
        .expected("an object 'weight_map' from tensor to file name");
  }
  std::map<std::string, std::vector<std::string>> tensors_of;  // by shard, sorted
  for (const auto& [name, shard] : weight_map->items()) {
    if (!shard.is_string()) {
      throw Error("index of shards is malformed")
          .file(index_path)
          .tensor(name)
          .expected("a file name")
          .got(shard.type_name());
    }
    const auto& shard_file = shard.get_ref<const std::string&>();
    if (!is_plain_shard_name(shard_file)) {
      throw Error("index of shards names a file that is not allowed")
          .file(index_path)
          .tensor(name)
          .expected("a .safetensors or .bin file in the same folder")
          .got(shard_file);
    }
    tensors_of[shard_file].push_back(name);
  }
  for (const auto& [shard_file, tensors] : tensors_of) {
    const fs::path path = folder_ / shard_file;
    std::error_code ignored;
    if (!fs::exists(path, ignored)) {
      throw Error("shard that the index names is missing").file(path).hint(kMaybeIncomplete);
    }
    open_file(path);
    for (const std::string& name : tensors) {
      const TensorInfo* info = files_.back().find(name);
      if (info == nullptr) {
        throw Error("shard lacks a tensor that the index places in it")
            .file(path)
            .tensor(name)
            .hint("index and shards belong to different downloads");
      }
      add_tensor(files_.size() - 1, static_cast<size_t>(info - files_.back().tensors().data()));
    }
  }
}

bool Checkpoint::contains(std::string_view name) const {
  return places_.contains(std::string(name));
}

const Checkpoint::Place& Checkpoint::place_of(std::string_view name) const {
  const auto found = places_.find(std::string(name));
  if (found == places_.end()) {
    Error error("no such tensor");
    error.file(source_).tensor(std::string(name));
    const std::string similar = closest(name, names_);
    if (!similar.empty()) error.hint(fmt::format("the closest name is '{}'", similar));
    throw error;
  }
  return found->second;
}

Tensor Checkpoint::tensor(std::string_view name) const {
  const Place& place = place_of(name);
  const TensorFile& file = files_[place.file];
  return file.tensor(file.tensors()[place.tensor]);
}

const TensorInfo& Checkpoint::info(std::string_view name) const {
  const Place& place = place_of(name);
  return files_[place.file].tensors()[place.tensor];
}

const fs::path& Checkpoint::file_of(std::string_view name) const {
  return files_[place_of(name).file].path();
}

}  // namespace nibble
