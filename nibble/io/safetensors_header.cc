// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <numeric>
#include <tuple>

#include "nibble/base/error.h"
#include "nibble/io/safetensors.h"
#include "nibble/io/safetensors_limits.h"

namespace nibble {
namespace {

// As the official serializer's enum, last first: by width, then by its own ranking within a width.
constexpr std::array kLayoutOrder{
    DType::kU64,    DType::kI64,        DType::kF64,        DType::kC64,    DType::kF32,
    DType::kU32,    DType::kI32,        DType::kBF16,       DType::kF16,    DType::kU16,
    DType::kI16,    DType::kF8E5M2Fnuz, DType::kF8E4M3Fnuz, DType::kF8E8M0, DType::kF8E4M3,
    DType::kF8E5M2, DType::kI8,         DType::kU8,         DType::kBool};

// Lower comes first in the file.
ptrdiff_t layout_rank(DType dtype) {
  return std::find(kLayoutOrder.begin(), kLayoutOrder.end(), dtype) - kLayoutOrder.begin();
}

std::string quoted(const std::string& text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    throw Error("text cannot stand in a safetensors header").expected("UTF-8").got(text);
  }
}

std::string entry(const TensorSpec& spec, int64_t begin, int64_t end) {
  std::string shape;
  for (const int64_t d : spec.shape) {
    if (!shape.empty()) shape += ',';
    shape += std::to_string(d);
  }
  return fmt::format(R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                     quoted(spec.name), safetensors_name(spec.dtype), shape, begin, end);
}

int64_t data_size(const TensorSpec& spec) {
  return checked_numel(spec.shape, size_of(spec.dtype)) * size_of(spec.dtype);
}

}  // namespace

std::vector<size_t> safetensors_order(std::span<const TensorSpec> specs) {
  std::vector<size_t> order(specs.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const ptrdiff_t rank_a = layout_rank(specs[a].dtype);
    const ptrdiff_t rank_b = layout_rank(specs[b].dtype);
    return std::tie(rank_a, specs[a].name, a) < std::tie(rank_b, specs[b].name, b);
  });
  return order;
}

std::string safetensors_header(std::span<const TensorSpec> specs,
                               const std::map<std::string, std::string>& metadata) {
  std::vector<std::string_view> names;
  for (const TensorSpec& spec : specs) names.push_back(spec.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) throw Error("tensor name comes twice").tensor(std::string(*twice));
  if (std::binary_search(names.begin(), names.end(), kSafetensorsMetadataKey)) {
    throw Error("tensor name is reserved").tensor(std::string(kSafetensorsMetadataKey));
  }

  std::string json = "{";
  if (!metadata.empty()) {
    json += quoted(std::string(kSafetensorsMetadataKey)) + ":{";
    for (const auto& [key, value] : metadata) {
      if (json.back() != '{') json += ',';
      json += quoted(key) + ':' + quoted(value);
    }
    json += '}';
  }
  int64_t begin = 0;
  for (const size_t i : safetensors_order(specs)) {
    int64_t end;
    if (__builtin_add_overflow(begin, data_size(specs[i]), &end)) {
      throw Error("tensors are larger together than 63 bits can count").tensor(specs[i].name);
    }
    if (json.size() > 1) json += ',';
    json += entry(specs[i], begin, end);
    begin = end;
  }
  json += '}';
  json.append((8 - json.size() % 8) % 8, ' ');
  if (std::ssize(json) > kMaxSafetensorsHeader) {
    throw Error("safetensors header would be too long")
        .expected(fmt::format("at most {} bytes", kMaxSafetensorsHeader))
        .got(fmt::format("{}", json.size()))
        .hint("write more, smaller shards");
  }

  std::string bytes(kSafetensorsLengthBytes, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(json.size() >> (8 * i));
  return bytes + json;
}

}  // namespace nibble
