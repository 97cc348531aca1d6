// SPDX-License-Identifier: Apache-2.0
//
// One metadata value of a GGUF file: a typed view into the mapped file, decoded when asked for.
// It keeps the file alive; its bytes were bounds-checked when the file was opened.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/base/mapped_file.h"

namespace nibble {

class ByteReader;

enum class GgufValueType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

class GgufValue {
 public:
  // Takes the value of `type` that stands next in `reader`, which reads `file`. Throws Error on an
  // unknown type, on lengths past the end and on arrays nested more than a few levels deep.
  // Allocates nothing that grows with what the value claims to hold.
  static GgufValue read(ByteReader& reader, std::shared_ptr<const MappedFile> file,
                        std::string_view key, GgufValueType type);

  const std::string& key() const { return key_; }
  GgufValueType type() const { return type_; }
  GgufValueType element_type() const { return element_type_; }  // of an array
  int64_t size() const { return size_; }                        // elements; 1 for a scalar
  std::string type_name() const;                                // "uint32", "array of string"

  // Each throws Error (file, key, expected and found type) when the value is something else.
  int64_t as_int() const;   // any integer type; the value must fit
  double as_float() const;  // float32, float64, or any integer type
  bool as_bool() const;
  std::string as_string() const;  // raw bytes: the format says UTF-8, but this is not checked

  // Arrays, element by element as above. Nested ones can be passed over, but not read.
  std::vector<int64_t> as_ints() const;
  std::vector<float> as_floats() const;
  std::vector<std::string> as_strings() const;

 private:
  GgufValue() = default;

  int64_t read_int(ByteReader& reader, GgufValueType type, std::string_view expected) const;
  double read_float(ByteReader& reader, GgufValueType type, std::string_view expected) const;
  template <typename Out, typename Read>
  std::vector<Out> read_array(std::string_view expected, const Read& read_element) const;
  [[noreturn]] void fail(std::string_view expected) const;

  std::shared_ptr<const MappedFile> file_;
  std::string key_;
  GgufValueType type_ = GgufValueType::kUint8;
  GgufValueType element_type_ = GgufValueType::kUint8;
  int64_t size_ = 1;
  int64_t offset_ = 0;                // of bytes_ in the file
  std::span<const std::byte> bytes_;  // the value; of an array, its elements
};

}  // namespace nibble
