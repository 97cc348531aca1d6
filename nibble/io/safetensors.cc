// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/safetensors.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/base/mapped_file.h"
#include "nibble/io/safetensors_limits.h"

namespace nibble {
namespace {

namespace dom = simdjson::dom;

constexpr const char* kIncomplete = "the download may be incomplete";
// A header is an object of objects of arrays; one level more lets a wrong type be named as such.
constexpr size_t kMaxDepth = 4;
constexpr std::string_view kLfsPointer = "version https://git-lfs";

// The dtypes of the format whose elements do not fill a byte.
bool is_narrow(std::string_view dtype) {
  return dtype == "F4" || dtype == "F6_E2M3" || dtype == "F6_E3M2";
}

// What a header says, before it is checked against the data.
struct Header {
  std::vector<TensorInfo> tensors;  // `offset` is still relative to the data
  std::map<std::string, std::string> metadata;
};

class HeaderReader {
 public:
  HeaderReader(const std::filesystem::path& path, std::span<const std::byte> file)
      : path_(path), file_(file) {}

  Header read() {
    locate();
    parse();
    place();
    return std::move(header_);
  }

 private:
  Error error(const char* what) const { return Error(what).file(path_); }

  void locate() {
    const std::string_view text(reinterpret_cast<const char*>(file_.data()), file_.size());
    if (text.starts_with(kLfsPointer)) {
      throw error("file is a Git LFS pointer, not safetensors").hint("run `git lfs pull`");
    }
    const auto size = static_cast<int64_t>(file_.size());
    constexpr auto kLength = static_cast<int64_t>(kSafetensorsLengthBytes);
    if (size < kLength) {
      throw error("file is too short for safetensors")
          .expected("at least 8 bytes")
          .got(fmt::format("{}", size))
          .hint(kIncomplete);
    }
    uint64_t length = 0;
    for (size_t i = 0; i < kSafetensorsLengthBytes; ++i) {
      length |= std::to_integer<uint64_t>(file_[i]) << (8 * i);
    }
    if (length > static_cast<uint64_t>(kMaxSafetensorsHeader)) {
      throw error("safetensors header is too long")
          .expected(fmt::format("at most {} bytes", kMaxSafetensorsHeader))
          .got(fmt::format("{}", length))
          .at_byte(0)
          .hint("this is probably no safetensors file");
    }
    const auto header_size = static_cast<int64_t>(length);
    if (header_size > size - kLength) {
      throw error("safetensors header reaches past the end of the file")
          .expected(fmt::format("at least {} bytes", kLength + header_size))
          .got(fmt::format("{}", size))
          .hint(kIncomplete);
    }
    json_ = text.substr(kSafetensorsLengthBytes, static_cast<size_t>(length));
    data_begin_ = kLength + header_size;
    data_size_ = size - data_begin_;
    if (!json_.starts_with('{')) {
      throw error("safetensors header is no JSON object")
          .expected("'{'")
          .got(json_.empty() ? "an empty header" : fmt::format("'{}'", json_.substr(0, 1)))
          .at_byte(kLength);
    }
  }

  void parse() {
    dom::parser parser;
    dom::element root;
    // The parser copies the text into memory with the padding that it needs.
    auto failure = parser.allocate(json_.size(), kMaxDepth);
    if (!failure) failure = parser.parse(json_.data(), json_.size(), true).get(root);
    dom::object entries;
    if (!failure) failure = root.get(entries);
    if (failure) {
      throw error("safetensors header is not valid JSON")
          .got(simdjson::error_message(failure))
          .at_byte(static_cast<int64_t>(kSafetensorsLengthBytes));
    }
    std::set<std::string_view> seen;
    for (const auto [name, value] : entries) {
      if (!seen.insert(name).second) {
        throw error("name comes twice in the safetensors header").tensor(std::string(name));
      }
      if (name == kSafetensorsMetadataKey) {
        read_metadata(value);
      } else {
        read_entry(std::string(name), value);
      }
    }
  }

  void read_metadata(const dom::element& element) {
    dom::object entries;
    if (element.get(entries)) {
      throw error("__metadata__ of the safetensors header is malformed")
          .expected("an object of strings");
    }
    for (const auto [key, value] : entries) {
      std::string_view text;
      if (value.get(text)) {
        throw error("__metadata__ of the safetensors header is malformed")
            .expected(fmt::format("a string for '{}'", key));
      }
      if (!header_.metadata.emplace(key, text).second) {
        throw error("__metadata__ of the safetensors header has a key twice").got(std::string(key));
      }
    }
  }

  void read_entry(std::string name, const dom::element& element) {
    dom::object fields;
    if (element.get(fields)) {
      throw error("safetensors header entry is malformed").tensor(name).expected("an object");
    }
    std::optional<dom::element> dtype, shape, offsets;
    for (const auto [key, value] : fields) {
      auto* field = key == "dtype"          ? &dtype
                    : key == "shape"        ? &shape
                    : key == "data_offsets" ? &offsets
                                            : nullptr;  // others have no meaning: passed over
      if (field == nullptr) continue;
      if (field->has_value()) {
        throw error("safetensors header entry has a field twice")
            .tensor(name)
            .got(std::string(key));
      }
      *field = value;
    }
    TensorInfo info;
    info.dtype = read_dtype(name, dtype);
    for (const uint64_t d : read_numbers(name, "shape", shape)) {
      info.shape.push_back(to_int64(name, "shape", d));
    }
    const std::vector<uint64_t> range = read_numbers(name, "data_offsets", offsets);
    if (range.size() != 2) {
      throw error("data_offsets are malformed")
          .tensor(name)
          .expected("2 numbers")
          .got(fmt::format("{}", range.size()));
    }
    info.offset = to_int64(name, "data_offsets", range[0]);
    info.nbytes = check_size(name, info, to_int64(name, "data_offsets", range[1]));
    info.name = std::move(name);
    header_.tensors.push_back(std::move(info));
  }

  DType read_dtype(const std::string& name, const std::optional<dom::element>& element) const {
    std::string_view text;
    if (!element || element->get(text)) {
      throw error("dtype is missing or no string").tensor(name).expected("a name like \"F32\"");
    }
    const auto dtype = dtype_from_safetensors(text);
    if (!dtype) {
      Error unknown = error("dtype is not supported");
      unknown.tensor(name).got(std::string(text));
      if (is_narrow(text)) unknown.hint("elements narrower than a byte are not read");
      throw unknown;
    }
    return *dtype;
  }

  std::vector<uint64_t> read_numbers(const std::string& name, std::string_view field,
                                     const std::optional<dom::element>& element) const {
    dom::array array;
    std::vector<uint64_t> numbers;
    bool valid = element && !element->get(array);
    if (valid) {
      for (const dom::element item : array) {
        uint64_t number = 0;
        valid = valid && !item.get(number);
        numbers.push_back(number);
      }
    }
    if (!valid) {
      throw error("safetensors header entry is malformed")
          .tensor(name)
          .expected(fmt::format("'{}' with whole numbers from 0 up", field));
    }
    return numbers;
  }

  int64_t to_int64(const std::string& name, std::string_view field, uint64_t number) const {
    if (number > static_cast<uint64_t>(INT64_MAX)) {
      throw error("number in the safetensors header is too large")
          .tensor(name)
          .expected(fmt::format("'{}' below 2^63", field))
          .got(fmt::format("{}", number));
    }
    return static_cast<int64_t>(number);
  }

  // The tensor's size in bytes, which must be that of dtype and shape.
  int64_t check_size(const std::string& name, const TensorInfo& info, int64_t end) const {
    int64_t nbytes = 0;
    try {
      nbytes = checked_numel(info.shape, size_of(info.dtype)) * size_of(info.dtype);
    } catch (Error& overflow) {
      throw overflow.file(path_).tensor(name);
    }
    if (end < info.offset || end - info.offset != nbytes) {
      throw error("data_offsets do not fit dtype and shape")
          .tensor(name)
          .expected(fmt::format("{} bytes for {} {}", nbytes, safetensors_name(info.dtype),
                                to_string(info.shape)))
          .got(fmt::format("[{}, {})", info.offset, end));
    }
    return nbytes;
  }

  // Orders the tensors by their data, which they must cover exactly, and makes offsets absolute.
  void place() {
    auto& tensors = header_.tensors;
    std::sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
      return std::tie(a.offset, a.nbytes, a.name) < std::tie(b.offset, b.nbytes, b.name);
    });
    int64_t covered = 0;
    for (TensorInfo& info : tensors) {
      if (info.offset != covered) {
        throw error(info.offset < covered ? "data overlaps the tensor before it"
                                          : "data leaves a hole after the tensor before it")
            .tensor(info.name)
            .expected(fmt::format("data_offsets from {}", covered))
            .got(fmt::format("{}", info.offset))
            .at_byte(data_begin_ + std::min(info.offset, data_size_));
      }
      // Both are at most INT64_MAX since their end is.
      covered += info.nbytes;
      if (covered > data_size_) {
        throw error("data reaches past the end of the file")
            .tensor(info.name)
            .expected(fmt::format("{} bytes of data", covered))
            .got(fmt::format("{}", data_size_))
            .at_byte(data_begin_ + info.offset)
            .hint(kIncomplete);
      }
      info.offset += data_begin_;
    }
    if (covered != data_size_) {
      throw error("file goes on after the last tensor")
          .expected(fmt::format("{} bytes of data", covered))
          .got(fmt::format("{}", data_size_))
          .at_byte(data_begin_ + covered);
    }
  }

  const std::filesystem::path& path_;
  std::span<const std::byte> file_;
  std::string_view json_;
  int64_t data_begin_ = 0, data_size_ = 0;
  Header header_;
};

}  // namespace

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  auto mapped = MappedFile::open(path);
  Header header = HeaderReader(path, mapped->bytes()).read();
  return SafetensorsFile("safetensors", std::move(mapped), std::move(header.tensors),
                         std::move(header.metadata));
}

}  // namespace nibble
