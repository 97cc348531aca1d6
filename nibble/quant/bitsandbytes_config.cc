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
#include "nibble/quant/quant_state.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<DType, 6> kQuantStorages = {DType::kF16, DType::kF32, DType::kI8,
                                                 DType::kU8,  DType::kF64, DType::kBF16};
constexpr const char* kQuantStorageNames =
    "\"float16\", \"float32\", \"int8\", \"uint8\", \"float64\" or \"bfloat16\"";

// Typed access to the object; an absent key leaves the default, a wrong type throws.
class Reader {
 public:
  Reader(const Json& object, const std::string& file) : object_(object), file_(file) {
    if (!object.is_object()) {
      throw Error("quantization_config is not an object").file(file).got(object.dump());
    }
  }

  void read(const char* key, bool& field) const {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_boolean()) throw bad(key, "a boolean");
    field = value->get<bool>();
  }

  void read(const char* key, float& field) const {
    const Json* value = find(key);
    if (value == nullptr) return;
    // transformers refuses an integer, too.
    if (!value->is_number_float()) throw bad(key, "a float");
    field = static_cast<float>(value->get<double>());
  }

  void read(const char* key, std::string& field) const {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_string()) throw bad(key, "a string");
    field = value->get<std::string>();
  }

  void read(const char* key, std::optional<std::vector<std::string>>& field) const {
    const Json* value = find(key);
    if (value == nullptr || value->is_null()) return;
    const auto is_string = [](const Json& item) { return item.is_string(); };
    if (!value->is_array() || !std::ranges::all_of(*value, is_string)) {
      throw bad(key, "a list of strings or null");
    }
    field = value->get<std::vector<std::string>>();
  }

  template <typename Accepts>
  void read_dtype(const char* key, const char* expected, Accepts accepts, DType& field) const {
    const Json* value = find(key);
    if (value == nullptr || value->is_null()) return;
    if (!value->is_string()) throw bad(key, expected);
    const auto dtype = dtype_from_torch(value->get<std::string>());
    if (!dtype || !accepts(*dtype)) throw bad(key, expected);
    field = *dtype;
  }

 private:
  const Json* find(const char* key) const {
    const auto at = object_.find(key);
    return at == object_.end() ? nullptr : &*at;
  }

  Error bad(const char* key, std::string expected) const {
    Error error(fmt::format("quantization_config has a bad '{}'", key));
    error.file(file_).expected(std::move(expected)).got(find(key)->dump());
    return error;
  }

  const Json& object_;
  const std::string& file_;
};

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
  if (load_in_4bit && !quant_type_from_name(bnb_4bit_quant_type)) {
    throw Error("bnb_4bit_quant_type is unknown")
        .expected("\"nf4\" or \"fp4\"")
        .got('"' + bnb_4bit_quant_type + '"');
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
  const Reader reader(object, file);
  BitsAndBytesConfig config;
  reader.read("load_in_8bit", config.load_in_8bit);
  reader.read("load_in_4bit", config.load_in_4bit);
  reader.read("llm_int8_threshold", config.llm_int8_threshold);
  reader.read("llm_int8_skip_modules", config.llm_int8_skip_modules);
  reader.read("llm_int8_enable_fp32_cpu_offload", config.llm_int8_enable_fp32_cpu_offload);
  reader.read("llm_int8_has_fp16_weight", config.llm_int8_has_fp16_weight);
  reader.read_dtype("bnb_4bit_compute_dtype", "the name of a float dtype or null", is_compute_dtype,
                    config.bnb_4bit_compute_dtype);
  reader.read("bnb_4bit_quant_type", config.bnb_4bit_quant_type);
  reader.read("bnb_4bit_use_double_quant", config.bnb_4bit_use_double_quant);
  reader.read_dtype("bnb_4bit_quant_storage", kQuantStorageNames, is_quant_storage,
                    config.bnb_4bit_quant_storage);
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

}  // namespace nibble
