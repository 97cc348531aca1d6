// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/gguf_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "nibble/base/error.h"

namespace nibble {
namespace {

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr const char* kAlignmentKey = "general.alignment";
constexpr int64_t kDefaultAlignment = 32;
constexpr uint32_t kMaxDimensions = 4;  // of ggml tensors

// Of a key by the format; names of tensors are kept shorter by those who write them. Messages and
// values carry them, so they must not be the size of the file.
constexpr size_t kLongestName = (size_t{1} << 16) - 1;

// The fewest bytes that one entry can take.
constexpr int64_t kSmallestMetadata = 8 + 4 + 1;    // key length, type, a one-byte value
constexpr int64_t kSmallestTensor = 8 + 4 + 4 + 8;  // name length, dimensions, type, offset

}  // namespace

GgufParser::GgufParser(std::shared_ptr<const MappedFile> mapped)
    : mapped_(std::move(mapped)), reader_(mapped_->path(), mapped_->bytes()) {
  file_.path_ = mapped_->path();
  file_.file_ = mapped_;
}

GgufFile GgufParser::parse() {
  read_version();
  const auto tensors = reader_.read<uint64_t>("the GGUF header");
  const auto metadata = reader_.read<uint64_t>("the GGUF header");
  read_metadata(metadata);
  read_alignment();
  read_tensors(tensors);
  place_tensors();
  return std::move(file_);
}

void GgufParser::read_version() {
  if (reader_.read<uint32_t>("the GGUF header") != kMagic) {
    throw Error("file is no GGUF file")
        .file(file_.path_)
        .expected("'GGUF' at its start")
        .at_byte(0);
  }
  const auto version = reader_.read<uint32_t>("the GGUF header");
  if (version == 2 || version == 3) {
    file_.version_ = static_cast<int>(version);
    return;
  }
  if ((version & 0xffffu) == 0 && version != 0) {
    throw Error("GGUF file is big-endian")
        .file(file_.path_)
        .expected("a little-endian file")
        .at_byte(4)
        .hint("convert it with gguf-py's gguf-convert-endian");
  }
  throw Error("GGUF version is not supported")
      .file(file_.path_)
      .expected("2 or 3")
      .got(fmt::format("{}", version))
      .at_byte(4);
}

void GgufParser::read_metadata(uint64_t count) {
  reader_.require(count, kSmallestMetadata, "the metadata");
  for (uint64_t i = 0; i < count; ++i) {
    const int64_t begin = reader_.offset();
    const std::string key = read_name("a metadata key");
    const auto type = static_cast<GgufValueType>(reader_.read<uint32_t>("a metadata type"));
    GgufValue value = GgufValue::read(reader_, mapped_, key, type);
    if (!file_.values_by_key_.emplace(key, file_.metadata_.size()).second) {
      throw Error("metadata key comes twice").file(file_.path_).got(key).at_byte(begin);
    }
    file_.metadata_.push_back(std::move(value));
  }
}

std::string GgufParser::read_name(std::string_view what) {
  const int64_t begin = reader_.offset();
  const std::string_view name = reader_.read_string(what);
  if (name.size() > kLongestName) {
    throw Error(fmt::format("{} is too long", what))
        .file(file_.path_)
        .expected(fmt::format("at most {} bytes", kLongestName))
        .got(fmt::format("{}", name.size()))
        .at_byte(begin);
  }
  return std::string(name);
}

void GgufParser::read_alignment() {
  const GgufValue* value = file_.find_value(kAlignmentKey);
  file_.alignment_ = value == nullptr ? kDefaultAlignment : value->as_int();
  if (file_.alignment_ <= 0 || !std::has_single_bit(static_cast<uint64_t>(file_.alignment_))) {
    throw Error(fmt::format("metadata '{}' is malformed", kAlignmentKey))
        .file(file_.path_)
        .expected("a power of two")
        .got(fmt::format("{}", file_.alignment_));
  }
}

void GgufParser::read_tensors(uint64_t count) {
  reader_.require(count, kSmallestTensor, "the tensor infos");
  for (uint64_t i = 0; i < count; ++i) {
    const int64_t begin = reader_.offset();
    GgufTensorInfo info = read_tensor();
    if (!file_.tensors_by_name_.emplace(info.name, file_.tensors_.size()).second) {
      throw Error("tensor name comes twice").file(file_.path_).tensor(info.name).at_byte(begin);
    }
    file_.tensors_.push_back(std::move(info));
  }
}

GgufTensorInfo GgufParser::read_tensor() {
  GgufTensorInfo info;
  info.name = read_name("a tensor name");
  read_shape(info);
  const int64_t type_at = reader_.offset();
  info.type = static_cast<GgmlType>(reader_.read<uint32_t>("a tensor type"));
  const GgmlTypeTraits* traits = ggml_type_traits(info.type);
  if (traits == nullptr) {
    throw Error("tensor has an unknown ggml type")
        .file(file_.path_)
        .tensor(info.name)
        .got(fmt::format("{}", static_cast<uint32_t>(info.type)))
        .at_byte(type_at);
  }
  measure(info, *traits);
  const int64_t offset_at = reader_.offset();
  const auto offset = reader_.read<uint64_t>("a tensor offset");
  if (offset % static_cast<uint64_t>(file_.alignment_) != 0 || offset > mapped_->bytes().size()) {
    throw Error("tensor offset is malformed")
        .file(file_.path_)
        .tensor(info.name)
        .expected(fmt::format("a multiple of {} within the file", file_.alignment_))
        .got(fmt::format("{}", offset))
        .at_byte(offset_at);
  }
  info.offset = static_cast<int64_t>(offset);  // relative to the data until place_tensors()
  return info;
}

void GgufParser::read_shape(GgufTensorInfo& info) {
  const int64_t begin = reader_.offset();
  const auto rank = reader_.read<uint32_t>("a tensor's dimensions");
  if (rank > kMaxDimensions) {
    throw Error("tensor has too many dimensions")
        .file(file_.path_)
        .tensor(info.name)
        .expected(fmt::format("at most {}", kMaxDimensions))
        .got(fmt::format("{}", rank))
        .at_byte(begin);
  }
  info.shape.resize(rank);
  // The file counts from the innermost dimension.
  for (auto dim = info.shape.rbegin(); dim != info.shape.rend(); ++dim) {
    *dim = reader_.read<int64_t>("a tensor's dimensions");  // checked_numel refuses negative ones
  }
}

void GgufParser::measure(GgufTensorInfo& info, const GgmlTypeTraits& traits) const {
  int64_t numel = 0;
  try {
    numel = checked_numel(info.shape, std::max(traits.block_bytes, int64_t{8}));
  } catch (Error& failure) {
    throw failure.file(file_.path_).tensor(info.name);
  }
  info.columns = info.shape.empty() ? 1 : info.shape.back();
  if (info.columns % traits.block_size != 0) {
    throw Error("rows of the tensor are not whole blocks")
        .file(file_.path_)
        .tensor(info.name)
        .expected(fmt::format("a multiple of {} columns for {}", traits.block_size, traits.name))
        .got(fmt::format("{}", info.columns));
  }
  info.rows = info.columns == 0 ? 0 : numel / info.columns;
  info.nbytes = numel / traits.block_size * traits.block_bytes;
}

void GgufParser::place_tensors() {
  auto& tensors = file_.tensors_;
  const auto file_size = static_cast<int64_t>(mapped_->bytes().size());
  // The data begins at the next multiple of the alignment, which may lie past the end when there
  // is none. Compared before it is added: the alignment can be as large as 2^62.
  const int64_t past = reader_.offset() % file_.alignment_;
  const int64_t padding = past == 0 ? 0 : file_.alignment_ - past;
  const int64_t data_size = std::max<int64_t>(0, reader_.remaining() - padding);
  std::vector<GgufTensorInfo*> by_offset;
  for (GgufTensorInfo& info : tensors) {
    if (info.nbytes > 0 && (info.offset > data_size || info.nbytes > data_size - info.offset)) {
      throw Error("tensor data reaches past the end of the file")
          .file(file_.path_)
          .tensor(info.name)
          .expected(fmt::format("{} bytes from byte {} of the data", info.nbytes, info.offset))
          .got(fmt::format("{} bytes of data", data_size))
          .hint("the download may be incomplete");
    }
    // An empty tensor has no data that could lie outside.
    info.offset = info.nbytes > 0 ? file_size - data_size + info.offset : file_size;
    if (info.nbytes > 0) by_offset.push_back(&info);
  }
  std::sort(by_offset.begin(), by_offset.end(),
            [](const auto* a, const auto* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < by_offset.size(); ++i) {
    const GgufTensorInfo& before = *by_offset[i - 1];
    if (by_offset[i]->offset < before.offset + before.nbytes) {
      throw Error("tensor data overlaps another tensor")
          .file(file_.path_)
          .tensor(by_offset[i]->name)
          .expected(fmt::format("data from byte {}", before.offset + before.nbytes))
          .got(fmt::format("{}", by_offset[i]->offset))
          .at_byte(by_offset[i]->offset);
    }
  }
}

}  // namespace nibble
