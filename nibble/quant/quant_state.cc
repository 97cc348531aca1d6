// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/quant_state.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "nibble/base/error.h"
#include "nibble/io/json_file.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

constexpr JsonLimits kLimits = {.max_bytes = 64 << 10, .max_depth = 4};  // honest texts: 200 bytes

constexpr std::array<std::string_view, 7> kKeys = {
    "quant_type",       "blocksize",    "dtype",        "shape",
    "nested_blocksize", "nested_dtype", "nested_offset"};

// The fields of one text; every failure names the key and shows what stands there.
class Fields {
 public:
  Fields(std::string_view text, const std::filesystem::path& file, const std::string& tensor)
      : file_(file), tensor_(tensor) {
    try {
      object_ = parse_json(text, file, kLimits);
    } catch (Error& error) {
      throw error.tensor(tensor);
    }
    if (!object_.is_object()) throw failure("quant state is not a JSON object");
    for (const auto& [key, value] : object_.items()) {
      if (std::ranges::find(kKeys, key) == kKeys.end()) {
        throw failure("quant state has an unknown key").got(key);
      }
    }
  }

  bool contains(const char* key) const { return object_.contains(key); }

  Error bad(const char* key, std::string expected) const {
    Error error = failure(fmt::format("quant state has a bad '{}'", key));
    error.expected(std::move(expected)).got(contains(key) ? object_[key].dump() : "nothing");
    return error;
  }

  std::string text(const char* key, const char* expected) const {
    if (!contains(key) || !object_[key].is_string()) throw bad(key, expected);
    return object_[key].get<std::string>();
  }

  int64_t positive(const char* key) const {
    constexpr const char* kExpected = "a positive integer";
    if (!contains(key)) throw bad(key, kExpected);
    const int64_t value = integer(object_[key]);
    if (value <= 0) throw bad(key, kExpected);
    return value;
  }

  Shape shape(const char* key) const {
    constexpr const char* kExpected = "[rows, cols]";
    if (!contains(key) || !object_[key].is_array() || object_[key].size() != 2) {
      throw bad(key, kExpected);
    }
    Shape shape;
    for (const Json& dimension : object_[key]) {
      shape.push_back(integer(dimension));
      if (shape.back() < 0) throw bad(key, kExpected);
    }
    return shape;
  }

  float number(const char* key) const {
    constexpr const char* kExpected = "a finite float32";
    if (!contains(key) || !object_[key].is_number()) throw bad(key, kExpected);
    const auto value = static_cast<float>(object_[key].get<double>());
    if (!std::isfinite(value)) throw bad(key, kExpected);
    return value;
  }

 private:
  Error failure(std::string what_failed) const {
    Error error(std::move(what_failed));
    error.file(file_).tensor(tensor_);
    return error;
  }

  // -1, which no field allows, for what is no integer or does not fit.
  static int64_t integer(const Json& value) {
    if (!value.is_number_integer()) return -1;
    if (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX) return -1;
    return value.get<int64_t>();
  }

  const std::filesystem::path& file_;
  const std::string& tensor_;
  Json object_;
};

}  // namespace

std::string_view quant_type_name(QuantType type) { return type == QuantType::kNf4 ? "nf4" : "fp4"; }

std::optional<QuantType> quant_type_from_name(std::string_view name) {
  if (name == "nf4") return QuantType::kNf4;
  if (name == "fp4") return QuantType::kFp4;
  return std::nullopt;
}

QuantState parse_quant_state(std::string_view json, const std::filesystem::path& file,
                             const std::string& tensor) {
  const Fields fields(json, file, tensor);
  QuantState state;

  constexpr const char* kTypes = "\"nf4\" or \"fp4\"";
  const auto type = quant_type_from_name(fields.text("quant_type", kTypes));
  if (!type) throw fields.bad("quant_type", kTypes);
  state.quant_type = *type;

  constexpr const char* kDTypes = "\"float32\", \"float16\" or \"bfloat16\"";
  const auto dtype = dtype_from_torch(fields.text("dtype", kDTypes));
  if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16) {
    throw fields.bad("dtype", kDTypes);
  }
  state.dtype = *dtype;

  state.blocksize = fields.positive("blocksize");
  state.shape = fields.shape("shape");
  if (!fields.contains("nested_blocksize") && !fields.contains("nested_offset")) return state;

  constexpr const char* kNestedDType = "\"float32\"";
  if (fields.text("nested_dtype", kNestedDType) != "float32") {
    throw fields.bad("nested_dtype", kNestedDType);
  }
  state.nested = {.blocksize = fields.positive("nested_blocksize"),
                  .offset = fields.number("nested_offset")};
  return state;
}

std::string format_quant_state(const QuantState& state) {
  std::string text =
      fmt::format(R"({{"quant_type": "{}", "blocksize": {}, "dtype": "{}", "shape": [{}])",
                  quant_type_name(state.quant_type), state.blocksize, torch_name(state.dtype),
                  fmt::join(state.shape, ", "));
  if (state.nested) {
    text +=
        fmt::format(R"(, "nested_blocksize": {}, "nested_dtype": "float32", "nested_offset": {})",
                    state.nested->blocksize, python_float_repr(double{state.nested->offset}));
  }
  return text + "}";
}

std::string python_float_repr(double value) {
  // to_chars gives the same shortest digits; Python places the point by rules of its own.
  std::array<char, 32> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), std::fabs(value),
                                 std::chars_format::scientific);
  const std::string_view scientific(buffer.data(), static_cast<size_t>(end.ptr - buffer.data()));
  const size_t e = scientific.find('e');
  const std::string_view mantissa = scientific.substr(0, e);
  // from_chars reads no leading '+'.
  const std::string_view power = scientific.substr(scientific[e + 1] == '+' ? e + 2 : e + 1);
  int exponent = 0;
  std::from_chars(power.data(), power.data() + power.size(), exponent);
  std::string digits(mantissa);
  std::erase(digits, '.');
  const auto count = static_cast<int>(digits.size());

  const char* sign = std::signbit(value) ? "-" : "";
  if (exponent < -4 || exponent >= 16) {
    return fmt::format("{}{}e{:+03d}", sign, mantissa, exponent);
  }
  if (exponent < 0) return fmt::format("{}0.{:0>{}}", sign, digits, count - exponent - 1);
  if (count <= exponent + 1) return fmt::format("{}{:0<{}}.0", sign, digits, exponent + 1);
  const auto point = static_cast<size_t>(exponent) + 1;
  return fmt::format("{}{}.{}", sign, digits.substr(0, point), digits.substr(point));
}

}  // namespace nibble
