// SPDX-License-Identifier: Apache-2.0
//
// Writes small GGUF files (version 3) for tests.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nibble/base/atomic_file.h"
#include "nibble/io/gguf.h"
#include "nibble/tensor/tensor.h"

namespace nibble::testing {

class GgufWriter {
 public:
  void add(const std::string& key, const std::string& value) {
    begin(key, GgufValueType::kString);
    put_string(metadata_[key], value);
  }
  void add(const std::string& key, const char* value) { add(key, std::string(value)); }
  void add(const std::string& key, uint32_t value) {
    begin(key, GgufValueType::kUint32);
    put(metadata_[key], value);
  }
  void add(const std::string& key, float value) {
    begin(key, GgufValueType::kFloat32);
    put(metadata_[key], value);
  }
  void add(const std::string& key, bool value) {
    begin(key, GgufValueType::kBool);
    put(metadata_[key], static_cast<uint8_t>(value));
  }
  void add(const std::string& key, const std::vector<std::string>& values) {
    begin_array(key, GgufValueType::kString, values.size());
    for (const std::string& value : values) put_string(metadata_[key], value);
  }
  void add(const std::string& key, const std::vector<int32_t>& values) {
    begin_array(key, GgufValueType::kInt32, values.size());
    for (const int32_t value : values) put(metadata_[key], value);
  }
  void remove(const std::string& key) { metadata_.erase(key); }

  void add_tensor(const std::string& name, GgmlType type, const Shape& shape, std::string bytes) {
    tensors_[name] = {type, shape, std::move(bytes)};
  }
  void add_tensor(const std::string& name, const Tensor& tensor) {
    const GgmlType type = tensor.dtype() == DType::kF32   ? GgmlType::kF32
                          : tensor.dtype() == DType::kF16 ? GgmlType::kF16
                                                          : GgmlType::kBF16;
    const auto bytes = tensor.bytes();
    add_tensor(name, type, tensor.shape(),
               {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  void remove_tensor(const std::string& name) { tensors_.erase(name); }

  void write(const std::filesystem::path& path) const {
    std::string header = "GGUF", data;
    put(header, uint32_t{3});
    put(header, static_cast<uint64_t>(tensors_.size()));
    put(header, static_cast<uint64_t>(metadata_.size()));
    for (const auto& [key, value] : metadata_) {
      put_string(header, key);
      header += value;
    }
    for (const auto& [name, tensor] : tensors_) {
      put_string(header, name);
      put(header, static_cast<uint32_t>(tensor.shape.size()));
      for (auto dim = tensor.shape.rbegin(); dim != tensor.shape.rend(); ++dim) {
        put(header, static_cast<uint64_t>(*dim));
      }
      put(header, static_cast<uint32_t>(tensor.type));
      put(header, static_cast<uint64_t>(data.size()));
      data += tensor.bytes;
      align(data);
    }
    align(header);
    write_file_atomically(path, header + data);
  }

 private:
  struct StoredTensor {
    GgmlType type;
    Shape shape;
    std::string bytes;
  };

  template <typename T>
  static void put(std::string& out, T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof(T));
  }
  static void put_string(std::string& out, std::string_view text) {
    put(out, static_cast<uint64_t>(text.size()));
    out += text;
  }
  static void align(std::string& out) { out.resize((out.size() + 31) / 32 * 32); }

  void begin(const std::string& key, GgufValueType type) {
    metadata_[key].clear();
    put(metadata_[key], static_cast<uint32_t>(type));
  }
  void begin_array(const std::string& key, GgufValueType element, size_t count) {
    begin(key, GgufValueType::kArray);
    put(metadata_[key], static_cast<uint32_t>(element));
    put(metadata_[key], static_cast<uint64_t>(count));
  }

  std::map<std::string, std::string> metadata_;  // key -> type and value as in the file
  std::map<std::string, StoredTensor> tensors_;
};

}  // namespace nibble::testing
