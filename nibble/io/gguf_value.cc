// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/gguf_value.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/io/byte_reader.h"

namespace nibble {
namespace {

// Honest files nest arrays at most twice.
constexpr int kMaxNesting = 8;

struct TypeRow {
  std::string_view name;
  int64_t size;  // bytes of one value; of strings and arrays, the fewest
};

// In the order of GgufValueType.
constexpr std::array<TypeRow, 13> kValueTypes{{
    {"uint8", 1},
    {"int8", 1},
    {"uint16", 2},
    {"int16", 2},
    {"uint32", 4},
    {"int32", 4},
    {"float32", 4},
    {"bool", 1},
    {"string", 8},
    {"array", 12},
    {"uint64", 8},
    {"int64", 8},
    {"float64", 8},
}};

const TypeRow& row(GgufValueType type) { return kValueTypes[static_cast<size_t>(type)]; }

bool has_fixed_size(GgufValueType type) {
  return type != GgufValueType::kString && type != GgufValueType::kArray;
}

void require_known(const ByteReader& reader, std::string_view key, GgufValueType type) {
  if (static_cast<size_t>(type) >= kValueTypes.size()) {
    throw Error(fmt::format("metadata '{}' has an unknown type", key))
        .file(reader.path())
        .expected("0 to 12")
        .got(fmt::format("{}", static_cast<uint32_t>(type)))
        .at_byte(reader.offset());
  }
}

void skip(ByteReader& reader, std::string_view key, GgufValueType type, int nesting);

void skip_elements(ByteReader& reader, std::string_view key, GgufValueType type, uint64_t count,
                   int nesting) {
  const std::string what = fmt::format("metadata '{}'", key);
  const int64_t size = row(type).size;
  reader.require(count, size, what);
  if (has_fixed_size(type)) {
    reader.take(count * static_cast<uint64_t>(size), what);
  } else {
    for (uint64_t i = 0; i < count; ++i) skip(reader, key, type, nesting + 1);
  }
}

// The element type and count that open an array.
std::pair<GgufValueType, uint64_t> read_array_head(ByteReader& reader, std::string_view key) {
  const std::string what = fmt::format("metadata '{}'", key);
  const auto type = static_cast<GgufValueType>(reader.read<uint32_t>(what));
  require_known(reader, key, type);
  return {type, reader.read<uint64_t>(what)};
}

void skip(ByteReader& reader, std::string_view key, GgufValueType type, int nesting) {
  if (nesting > kMaxNesting) {
    throw Error(fmt::format("metadata '{}' is nested too deeply", key))
        .file(reader.path())
        .expected(fmt::format("at most {} levels", kMaxNesting))
        .at_byte(reader.offset());
  }
  if (type == GgufValueType::kString) {
    reader.read_string("a metadata string");
  } else if (type == GgufValueType::kArray) {
    const auto [element_type, count] = read_array_head(reader, key);
    skip_elements(reader, key, element_type, count, nesting);
  } else {
    reader.take(static_cast<uint64_t>(row(type).size), "a metadata value");
  }
}

}  // namespace

GgufValue GgufValue::read(ByteReader& reader, std::shared_ptr<const MappedFile> file,
                          std::string_view key, GgufValueType type) {
  require_known(reader, key, type);
  GgufValue value;
  value.key_ = key;
  value.type_ = type;
  if (type == GgufValueType::kArray) {
    const auto [element_type, count] = read_array_head(reader, key);
    value.element_type_ = element_type;
    value.offset_ = reader.offset();
    skip_elements(reader, key, element_type, count, 0);
    value.size_ = static_cast<int64_t>(count);  // fits: every element takes a byte at least
  } else {
    value.offset_ = reader.offset();
    skip(reader, key, type, 0);
  }
  const auto begin = static_cast<size_t>(value.offset_);
  value.bytes_ = file->bytes().subspan(begin, static_cast<size_t>(reader.offset()) - begin);
  value.file_ = std::move(file);
  return value;
}

std::string GgufValue::type_name() const {
  if (type_ != GgufValueType::kArray) return std::string(row(type_).name);
  return fmt::format("array of {}", row(element_type_).name);
}

void GgufValue::fail(std::string_view expected) const {
  throw Error(fmt::format("metadata '{}' has another type", key_))
      .file(file_->path())
      .expected(std::string(expected))
      .got(type_name())
      .at_byte(offset_);
}

int64_t GgufValue::read_int(ByteReader& reader, GgufValueType type,
                            std::string_view expected) const {
  switch (type) {
    case GgufValueType::kUint8:
      return reader.read<uint8_t>(key_);
    case GgufValueType::kInt8:
      return reader.read<int8_t>(key_);
    case GgufValueType::kUint16:
      return reader.read<uint16_t>(key_);
    case GgufValueType::kInt16:
      return reader.read<int16_t>(key_);
    case GgufValueType::kUint32:
      return reader.read<uint32_t>(key_);
    case GgufValueType::kInt32:
      return reader.read<int32_t>(key_);
    case GgufValueType::kInt64:
      return reader.read<int64_t>(key_);
    case GgufValueType::kUint64:
      break;
    default:
      fail(expected);
  }
  const int64_t at = reader.offset();
  const auto value = reader.read<uint64_t>(key_);
  if (value > static_cast<uint64_t>(INT64_MAX)) {
    throw Error(fmt::format("metadata '{}' is too large", key_))
        .file(file_->path())
        .expected("below 2^63")
        .got(fmt::format("{}", value))
        .at_byte(at);
  }
  return static_cast<int64_t>(value);
}

double GgufValue::read_float(ByteReader& reader, GgufValueType type,
                             std::string_view expected) const {
  switch (type) {
    case GgufValueType::kFloat32:
      return reader.read<float>(key_);
    case GgufValueType::kFloat64:
      return reader.read<double>(key_);
    default:
      return static_cast<double>(read_int(reader, type, expected));
  }
}

int64_t GgufValue::as_int() const {
  ByteReader reader(file_->path(), bytes_, offset_);
  return read_int(reader, type_, "an integer");
}

double GgufValue::as_float() const {
  ByteReader reader(file_->path(), bytes_, offset_);
  return read_float(reader, type_, "a number");
}

bool GgufValue::as_bool() const {
  if (type_ != GgufValueType::kBool) fail("a bool");
  return bytes_[0] != std::byte{0};
}

std::string GgufValue::as_string() const {
  if (type_ != GgufValueType::kString) fail("a string");
  return std::string(ByteReader(file_->path(), bytes_, offset_).read_string(key_));
}

// Each element takes a byte at least, so the list grows in proportion to the file.
template <typename Out, typename Read>
std::vector<Out> GgufValue::read_array(std::string_view expected, const Read& read_element) const {
  if (type_ != GgufValueType::kArray) fail(expected);
  std::vector<Out> out;
  out.reserve(static_cast<size_t>(size_));
  ByteReader reader(file_->path(), bytes_, offset_);
  for (int64_t i = 0; i < size_; ++i) out.push_back(read_element(reader));
  return out;
}

std::vector<int64_t> GgufValue::as_ints() const {
  constexpr std::string_view kExpected = "an array of integers";
  return read_array<int64_t>(
      kExpected, [&](ByteReader& reader) { return read_int(reader, element_type_, kExpected); });
}

std::vector<float> GgufValue::as_floats() const {
  constexpr std::string_view kExpected = "an array of numbers";
  return read_array<float>(kExpected, [&](ByteReader& reader) {
    return static_cast<float>(read_float(reader, element_type_, kExpected));
  });
}

std::vector<std::string> GgufValue::as_strings() const {
  constexpr std::string_view kExpected = "an array of strings";
  if (element_type_ != GgufValueType::kString) fail(kExpected);
  return read_array<std::string>(
      kExpected, [&](ByteReader& reader) { return std::string(reader.read_string(key_)); });
}

}  // namespace nibble
