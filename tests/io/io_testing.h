// SPDX-License-Identifier: Apache-2.0
//
// What the tests of io/ share: a folder that goes away, files of given bytes, messages of errors,
// and the values of the golden safetensors files.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <string_view>

#include "nibble/base/error.h"
#include "nibble/tensor/tensor.h"
#include "tests/testing/paths.h"
#include "tests/testing/scratch_folder.h"

namespace nibble::testing {

inline void write_file(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw Error("no such file in a test").file(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Names in a folder, hidden ones included.
inline std::set<std::string> list(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

// The message of the Error that `body` throws, without `root` where a path begins with it.
template <typename Body>
std::string message_of(const Body& body, const std::filesystem::path& root = {}) {
  try {
    body();
  } catch (const Error& error) {
    std::string message = error.what();
    const std::string prefix = root.string() + "/";
    for (size_t at; !root.empty() && (at = message.find(prefix)) != message.npos;) {
      message.erase(at, prefix.size());
    }
    return message;
  }
  return "no error";
}

// Little-endian bytes of a number.
template <typename T>
std::string le(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof(T)};
}

inline std::filesystem::path golden(std::string_view name) { return paths::golden("io") / name; }

// Real models and texts beside the checkout; empty where they are absent.
inline std::filesystem::path shared_data() {
  const std::filesystem::path path = paths::shared_data();
  return std::filesystem::exists(path) ? path : std::filesystem::path();
}

// In the order of make_io_golden.py.
inline constexpr std::array kAllDTypes{
    DType::kF64,    DType::kF32,        DType::kF16,        DType::kBF16,   DType::kF8E4M3,
    DType::kF8E5M2, DType::kI64,        DType::kI32,        DType::kI16,    DType::kI8,
    DType::kU64,    DType::kU32,        DType::kU16,        DType::kU8,     DType::kBool,
    DType::kC64,    DType::kF8E4M3Fnuz, DType::kF8E5M2Fnuz, DType::kF8E8M0,
};

// As make_io_golden.py fills the tensor that is added at `place`.
inline Tensor golden_values(int64_t place, DType dtype, Shape shape) {
  Tensor tensor = Tensor::empty(dtype, std::move(shape));
  const int64_t modulus = dtype == DType::kBool ? 2 : 251;
  auto* bytes = static_cast<unsigned char*>(tensor.raw());
  for (int64_t i = 0; i < tensor.nbytes(); ++i) {
    bytes[i] = static_cast<unsigned char>((7 * i + 3 * place) % modulus);
  }
  return tensor;
}

inline std::string bytes_of(const Tensor& tensor) {
  const auto bytes = tensor.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace nibble::testing
