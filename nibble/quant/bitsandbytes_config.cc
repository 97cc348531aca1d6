// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/bitsandbytes_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/quant/config_fields.h"
#include "nibble/quant/quant_state.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<DType, 6> kQuantStorages = {DType::kF16, DType::kF32, DType::kI8,
                                                 DType::kU8,  DType::kF64, DType::kBF16};
constexpr const char* kQuantStorageNames =
    "\"float16\", \"float32\", \"int8\", \"uint8\", \"float64\" or \"bfloat16\"";

bool is_compute_dtype(DType dtype) { return is_float(dtype) && size_of(dtype) >= 2; }

// The double with the fewest digits that rounds to `value`, so that 6.1 is written as 6.1.
double shortest_double(float value) {
  std::array<char, 32> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  double shortest = value;
  std::from_chars(digits.data(), end.ptr, shortest);
  return shortest;
}

}  // namespace

bool is_quant_storage(DType dtype) {
  return std::ranges::find(kQuantStorages, dtype) != kQuantStorages.end();
}

void BitsAndBytesConfig::validate() const {
  if (load_in_4bit && load_in_8bit) {
    throw Error("load_in_4bit and load_in_8bit are both True").hint("set one of them");
  }
  if (!(llm_int8_threshold >= 0.0f) || std::isinf(llm_int8_threshold)) {
    throw Error("llm_int8_threshold is out of range")
        .expected("a finite number of at least 0")
        .got(fmt::format("{}", llm_int8_threshold));
  }
  if (!is_compute_dtype(bnb_4bit_compute_dtype)) {
    throw Error("bnb_4bit_compute_dtype cannot be computed in")
        .expected("a float dtype")
        .got(fmt::format("\"{}\"", torch_name(bnb_4bit_compute_dtype)));
  }
  if (!is_quant_storage(bnb_4bit_quant_storage)) {
    throw Error("bnb_4bit_quant_storage cannot hold packed weights")
        .expected(kQuantStorageNames)
        .got(fmt::format("\"{}\"", torch_name(bnb_4bit_quant_storage)));
  }
  if (blocksize < 32 || blocksize > 4096 ||
      !std::has_single_bit(static_cast<uint64_t>(blocksize))) {
    throw Error("block size is not one of bitsandbytes")
        .expected("32, 64, 128, 256, 512, 1024, 2048 or 4096")
        .got(std::to_string(blocksize));
  }
}

BitsAndBytesConfig BitsAndBytesConfig::from_json(const Json& object, const std::string& file) {
  ConfigFields fields(object, file);
  BitsAndBytesConfig config;
  fields.ignore({"quant_method", "_load_in_8bit", "_load_in_4bit"});  // private twins
  fields.read("load_in_8bit", config.load_in_8bit);
  fields.read("load_in_4bit", config.load_in_4bit);
  fields.read_float("llm_int8_threshold", config.llm_int8_threshold);
  fields.read("llm_int8_skip_modules", config.llm_int8_skip_modules);
  fields.read("llm_int8_enable_fp32_cpu_offload", config.llm_int8_enable_fp32_cpu_offload);
  fields.read("llm_int8_has_fp16_weight", config.llm_int8_has_fp16_weight);
  fields.read_dtype("bnb_4bit_compute_dtype", "the name of a float dtype or null", is_compute_dtype,
                    config.bnb_4bit_compute_dtype);
  fields.read("bnb_4bit_quant_type", config.bnb_4bit_quant_type);
  fields.read("bnb_4bit_use_double_quant", config.bnb_4bit_use_double_quant);
  fields.read_dtype("bnb_4bit_quant_storage", kQuantStorageNames, is_quant_storage,
                    config.bnb_4bit_quant_storage);
  config.notes = notes_on_unknown(fields.unknown());
  try {
    config.validate();
  } catch (Error& error) {
    throw error.file(file);
  }
  return config;
}

Json BitsAndBytesConfig::to_json() const {
  return Json{
      {"_load_in_4bit", load_in_4bit},  // transformers writes its private fields, too
      {"_load_in_8bit", load_in_8bit},
      {"bnb_4bit_compute_dtype", torch_name(bnb_4bit_compute_dtype)},
      {"bnb_4bit_quant_storage", torch_name(bnb_4bit_quant_storage)},
      {"bnb_4bit_quant_type", bnb_4bit_quant_type},
      {"bnb_4bit_use_double_quant", bnb_4bit_use_double_quant},
      {"llm_int8_enable_fp32_cpu_offload", llm_int8_enable_fp32_cpu_offload},
      {"llm_int8_has_fp16_weight", llm_int8_has_fp16_weight},
      {"llm_int8_skip_modules", llm_int8_skip_modules ? Json(*llm_int8_skip_modules) : Json()},
      {"llm_int8_threshold", shortest_double(llm_int8_threshold)},
      {"load_in_4bit", load_in_4bit},
      {"load_in_8bit", load_in_8bit},
      {"quant_method", "bitsandbytes"},
  };
}

std::string BitsAndBytesConfig::quantization_method() const {
  if (load_in_8bit) return "int8";
  return load_in_4bit && quant_type_from_name(bnb_4bit_quant_type) ? bnb_4bit_quant_type : "";
}

QuantizationFacts BitsAndBytesConfig::facts() const {
  QuantizationFacts facts;
  facts.method = kMethod;
  facts.scheme = quantization_method();
  facts.bits = load_in_8bit ? 8 : load_in_4bit ? 4 : 0;
  if (load_in_8bit) facts.group_size = -1;
  facts.skip_list = QuantizationFacts::SkipList::kReplacesAutomatic;
  facts.skip_modules = llm_int8_skip_modules;
  facts.converts_conv1d = true;
  return facts;
}

// 4 bits: the codes in elements of the storage dtype, each counted as two of its bytes. 8 bits: a
// parameter of int8, or of the 16-bit weights that it is made from on the fly. Scales lie outside
// the parameters.
PackedSize BitsAndBytesConfig::packed_size(int64_t rows, int64_t cols) const {
  PackedSize size;
  if (load_in_8bit) {
    size.parameters = rows * cols;
    size.bytes = llm_int8_has_fp16_weight ? 2 * size.parameters : size.parameters;
  } else {
    const int64_t width = size_of(bnb_4bit_quant_storage);
    size.bytes = block_count(rows * cols, 2 * width) * width;
    size.parameters = 2 * size.bytes;
  }
  return size;
}

}  // namespace nibble
