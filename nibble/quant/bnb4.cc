// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/bnb4.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/quant/dense_input.h"
#include "nibble/quant/module_reader.h"

namespace nibble {
namespace {

constexpr std::string_view kStateKey = "weight.quant_state.bitsandbytes__";

// A multiple of every block size, and small enough for its floats to stay in the cache.
constexpr int64_t kTile = 16 << 10;
constexpr int64_t kTilesPerTask = 8;

std::string state_suffix(QuantType type) {
  return fmt::format("{}{}", kStateKey, quant_type_name(type));
}

QuantState read_state(const ModuleReader& reader, const Checkpoint& checkpoint) {
  const bool is_nf4 = reader.contains(state_suffix(QuantType::kNf4));
  const bool is_fp4 = reader.contains(state_suffix(QuantType::kFp4));
  if (is_nf4 == is_fp4) {
    throw reader.error("weight", "quantized weight needs one quant state")
        .expected(fmt::format("'{}nf4' or '..__fp4'", reader.name(kStateKey)))
        .got(is_nf4 ? "both" : "neither")
        .hint("the checkpoint was not saved by bitsandbytes, or not completely");
  }
  const QuantType key_type = is_nf4 ? QuantType::kNf4 : QuantType::kFp4;
  const std::string suffix = state_suffix(key_type);
  const Tensor text = reader.tensor(suffix);
  if (text.dtype() != DType::kU8 || text.rank() != 1) {
    throw reader.error(suffix, "tensor has the wrong dtype or shape")
        .expected("uint8 [length]")
        .got(fmt::format("{} {}", torch_name(text.dtype()), to_string(text.shape())));
  }
  const auto bytes = text.data<uint8_t>();
  const QuantState state =
      parse_quant_state({reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                        checkpoint.file_of(reader.name(suffix)), reader.name(suffix));
  if (state.quant_type != key_type) {
    throw reader.error(suffix, "quant state differs from its name")
        .expected(std::string(quant_type_name(key_type)))
        .got(std::string(quant_type_name(state.quant_type)));
  }
  return state;
}

// The bytes of "weight", which may be stored under any of the dtypes that FSDP can shard and
// padded to a whole element.
Tensor read_codes(const ModuleReader& reader, int64_t byte_count) {
  const Tensor stored = reader.tensor("weight");
  const int64_t width = size_of(stored.dtype());
  const int64_t elements = block_count(byte_count, width);
  const Shape& shape = stored.shape();
  const bool is_line = std::ranges::count_if(shape, [](int64_t d) { return d != 1; }) <= 1;
  if (!is_quant_storage(stored.dtype()) || stored.numel() != elements || !is_line) {
    throw reader.error("weight", "packed weight does not fit its shape")
        .expected(fmt::format("{} bytes as [bytes / itemsize, 1]", byte_count))
        .got(fmt::format("{} {}", torch_name(stored.dtype()), to_string(shape)));
  }
  return stored.reinterpret(DType::kU8, {stored.nbytes()}).slice_rows(0, byte_count);
}

Tensor storage_view(const Tensor& codes, DType storage) {
  const int64_t width = size_of(storage);
  const int64_t elements = block_count(codes.nbytes(), width);
  if (codes.nbytes() == elements * width) return codes.reinterpret(storage, {elements, 1});
  Tensor padded = Tensor::zeros(storage, {elements, 1});
  std::memcpy(padded.raw(), codes.raw(), static_cast<size_t>(codes.nbytes()));
  return padded;
}

// bitsandbytes tells the two types apart by the sign of the second value, too.
QuantType type_of(const CodeBlock& packed) {
  return packed.codebook.data<float>()[1] > 0.0f ? QuantType::kFp4 : QuantType::kNf4;
}

QuantType checked_type(const BitsAndBytesConfig& config) {
  config.validate();
  if (const auto type = quant_type_from_name(config.bnb_4bit_quant_type)) return *type;
  throw Error("bnb_4bit_quant_type is unknown")
      .expected("\"nf4\" or \"fp4\"")
      .got('"' + config.bnb_4bit_quant_type + '"');
}

}  // namespace

Bnb4Scheme::Bnb4Scheme(BitsAndBytesConfig config)
    : config_(std::move(config)), type_(checked_type(config_)) {}

Weight Bnb4Scheme::quantize(const Tensor& dense, ThreadPool& pool) const {
  check_dense_input(dense);
  const auto& codebook = codebook_of(type_);
  const int64_t count = dense.numel();
  const int64_t block_size = config_.blocksize;
  CodeBlock packed;
  packed.codes = Tensor::empty(DType::kU8, {block_count(count, 2)});
  packed.codebook = Tensor::from<float>({codebook.begin(), codebook.end()}, {16});
  packed.block_size = block_size;
  packed.absmax = Tensor::empty(DType::kF32, {block_count(count, block_size)});
  const auto codes = packed.codes.mutable_data<uint8_t>();
  const auto absmax = packed.absmax.mutable_data<float>();
  pool.parallel_for(block_count(count, kTile), kTilesPerTask, [&](int64_t begin, int64_t end) {
    std::vector<float> values(kTile);
    for (int64_t tile = begin; tile < end; ++tile) {
      const int64_t first = tile * kTile;
      const int64_t size = std::min(kTile, count - first);
      const std::span<float> part(values.data(), static_cast<size_t>(size));
      read_elements(dense, first, part);
      encode_code_blocks(
          type_, block_size, part,
          codes.subspan(static_cast<size_t>(first / 2), static_cast<size_t>(block_count(size, 2))),
          absmax.subspan(static_cast<size_t>(first / block_size),
                         static_cast<size_t>(block_count(size, block_size))));
    }
  });
  // A value that is not finite makes the absmax of its block so.
  if (!std::ranges::all_of(absmax, [](float x) { return std::isfinite(x); })) check_finite(dense);
  if (config_.bnb_4bit_use_double_quant) {
    packed.nested = encode_nested_absmax(absmax);
    packed.absmax = Tensor();
  }
  return Weight::code_block(std::move(packed), dense.dim(0), dense.dim(1), dense.dtype());
}

Weight Bnb4Scheme::load(const Checkpoint& checkpoint, const std::string& module, int64_t rows,
                        int64_t cols, ThreadPool& /*pool*/) const {
  const ModuleReader reader(checkpoint, module);
  const QuantState state = read_state(reader, checkpoint);
  const Shape shape = {rows, cols};
  if (state.shape != shape) {
    throw reader.error("weight", "quantized weight has the wrong shape")
        .expected(to_string(shape))
        .got(to_string(state.shape));
  }
  const int64_t count = checked_numel(shape, size_of(DType::kF32));
  const int64_t blocks = block_count(count, state.blocksize);
  CodeBlock packed;
  packed.codes = read_codes(reader, block_count(count, 2));
  packed.codebook = reader.tensor("weight.quant_map", DType::kF32, {16});
  packed.block_size = state.blocksize;
  if (state.nested) {
    const int64_t nested_blocks = block_count(blocks, state.nested->blocksize);
    packed.nested = NestedAbsmax{
        .codes = reader.tensor("weight.absmax", DType::kU8, {blocks}),
        .absmax = reader.tensor("weight.nested_absmax", DType::kF32, {nested_blocks}),
        .codebook = reader.tensor("weight.nested_quant_map", DType::kF32, {256}),
        .block_size = state.nested->blocksize,
        .offset = state.nested->offset,
    };
  } else {
    packed.absmax = reader.tensor("weight.absmax", DType::kF32, {blocks});
  }
  return Weight::code_block(std::move(packed), rows, cols, state.dtype);
}

bool Bnb4Scheme::is_packed(const Checkpoint& checkpoint, const std::string& module) const {
  const ModuleReader reader(checkpoint, module);
  return reader.contains("weight.absmax") || reader.contains(state_suffix(QuantType::kNf4)) ||
         reader.contains(state_suffix(QuantType::kFp4));
}

std::vector<NamedTensor> Bnb4Scheme::save(const Weight& weight, const std::string& module) const {
  const std::string name = module_prefix(module) + "weight";
  if (weight.layout() != Layout::kCodeBlock) {
    throw Error("cannot save this weight as NF4 or FP4")
        .tensor(name)
        .expected(std::string(layout_name(Layout::kCodeBlock)))
        .got(std::string(layout_name(weight.layout())));
  }
  const CodeBlock& packed = weight.as_code_block();
  QuantState state;
  state.quant_type = type_of(packed);
  state.blocksize = packed.block_size;
  state.dtype = weight.dtype();
  state.shape = {weight.rows(), weight.cols()};

  std::vector<NamedTensor> tensors;
  tensors.push_back({name, storage_view(packed.codes, config_.bnb_4bit_quant_storage)});
  tensors.push_back({name + ".absmax", packed.nested ? packed.nested->codes : packed.absmax});
  tensors.push_back({name + ".quant_map", packed.codebook});
  if (packed.nested) {
    tensors.push_back({name + ".nested_absmax", packed.nested->absmax});
    tensors.push_back({name + ".nested_quant_map", packed.nested->codebook});
    state.nested = {.blocksize = packed.nested->block_size, .offset = packed.nested->offset};
  }
  const std::string text = format_quant_state(state);
  tensors.push_back(
      {module_prefix(module) + state_suffix(state.quant_type),
       Tensor::from<uint8_t>({text.begin(), text.end()}, {static_cast<int64_t>(text.size())})});
  return tensors;
}

nlohmann::ordered_json Bnb4Scheme::config_json() const { return config_.to_json(); }

}  // namespace nibble
