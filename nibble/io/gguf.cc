// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/base/half.h"
#include "nibble/io/gguf_parser.h"

namespace nibble {
namespace {

// Rows are decoded in pieces of about this many floats: within the second-level cache.
constexpr int64_t kDecodePiece = int64_t{1} << 14;

std::optional<DType> stored_dtype(GgmlType type) {
  switch (type) {
    case GgmlType::kF32:
      return DType::kF32;
    case GgmlType::kF16:
      return DType::kF16;
    case GgmlType::kBF16:
      return DType::kBF16;
    default:
      return std::nullopt;
  }
}

template <typename T>
void round_to(std::span<const float> from, std::span<T> to) {
  for (size_t i = 0; i < from.size(); ++i) {
    if constexpr (std::is_same_v<T, bf16>) {
      to[i] = to_bf16(from[i]);
    } else {
      to[i] = to_fp16(from[i]);
    }
  }
}

// Rows of `out` [rows, columns] from row `begin` of the tensor on.
template <typename T>
void decode_rounded(const GgufFile& file, const GgufTensorInfo& info, int64_t begin, Tensor& out) {
  const int64_t rows = out.dim(0);
  if (out.numel() == 0) return;
  const int64_t rows_at_once = std::clamp<int64_t>(kDecodePiece / info.columns, 1, rows);
  std::vector<float> piece(static_cast<size_t>(rows_at_once * info.columns));
  for (int64_t done = 0; done < rows; done += rows_at_once) {
    Tensor part = out.slice_rows(done, std::min(rows, done + rows_at_once));
    const auto floats = std::span(piece).first(static_cast<size_t>(part.numel()));
    file.decode_rows(info, begin + done, begin + done + part.dim(0), floats);
    round_to<T>(floats, part.mutable_data<T>());
  }
}

}  // namespace

GgufFile GgufFile::open(const std::filesystem::path& path) {
  return GgufParser(MappedFile::open(path)).parse();
}

const GgufValue* GgufFile::find_value(std::string_view key) const {
  const auto found = values_by_key_.find(std::string(key));
  return found == values_by_key_.end() ? nullptr : &metadata_[found->second];
}

const GgufValue& GgufFile::value(std::string_view key) const {
  const GgufValue* found = find_value(key);
  if (found == nullptr) throw Error(fmt::format("metadata '{}' is missing", key)).file(path_);
  return *found;
}

const GgufTensorInfo* GgufFile::find(std::string_view name) const {
  const auto found = tensors_by_name_.find(std::string(name));
  return found == tensors_by_name_.end() ? nullptr : &tensors_[found->second];
}

const GgufTensorInfo& GgufFile::tensor(std::string_view name) const {
  const GgufTensorInfo* found = find(name);
  if (found == nullptr) throw Error("no such tensor").file(path_).tensor(std::string(name));
  return *found;
}

std::span<const std::byte> GgufFile::raw_bytes(const GgufTensorInfo& info) const {
  return file_->bytes().subspan(static_cast<size_t>(info.offset), static_cast<size_t>(info.nbytes));
}

void GgufFile::check_rows(const GgufTensorInfo& info, int64_t begin, int64_t end) const {
  if (begin < 0 || begin > end || end > info.rows) {
    throw Error("rows out of range")
        .file(path_)
        .tensor(info.name)
        .expected(fmt::format("rows of {}", info.rows))
        .got(fmt::format("[{}, {})", begin, end));
  }
}

void GgufFile::decode_rows(const GgufTensorInfo& info, int64_t begin, int64_t end,
                           std::span<float> out) const {
  check_rows(info, begin, end);
  const auto row_bytes = static_cast<size_t>(info.rows == 0 ? 0 : info.nbytes / info.rows);
  try {
    decode_blocks(info.type,
                  raw_bytes(info).subspan(static_cast<size_t>(begin) * row_bytes,
                                          static_cast<size_t>(end - begin) * row_bytes),
                  out);
  } catch (Error& failure) {
    throw failure.file(path_).tensor(info.name);
  }
}

Tensor GgufFile::decode_rows_as(const GgufTensorInfo& info, int64_t begin, int64_t end,
                                DType target) const {
  check_rows(info, begin, end);
  if (target != DType::kF32 && target != DType::kBF16 && target != DType::kF16) {
    throw Error("tensor cannot be decoded to this dtype")
        .file(path_)
        .tensor(info.name)
        .expected("float32, bfloat16 or float16")
        .got(std::string(torch_name(target)));
  }
  // A mapping starts on a page; an alignment below the element's is legal though odd.
  if (stored_dtype(info.type) == target && info.offset % size_of(target) == 0) {
    auto* data = const_cast<std::byte*>(file_->bytes().data());  // writable = false
    const Tensor window(
        target, {info.rows, info.columns},
        std::make_shared<Buffer>(Device{}, data, file_->bytes().size(), file_, false), info.offset);
    return window.slice_rows(begin, end);
  }
  Tensor out = Tensor::empty(target, {end - begin, info.columns});
  switch (target) {
    case DType::kF32:
      decode_rows(info, begin, end, out.mutable_data<float>());
      break;
    case DType::kBF16:
      decode_rounded<bf16>(*this, info, begin, out);
      break;
    default:
      decode_rounded<fp16>(*this, info, begin, out);
      break;
  }
  return out;
}

Tensor GgufFile::decode(std::string_view name, DType target) const {
  const GgufTensorInfo& info = tensor(name);
  return decode_rows_as(info, 0, info.rows, target).reshape(info.shape);
}

}  // namespace nibble
