// SPDX-License-Identifier: Apache-2.0
#include "nibble/format/weight_parts.h"

#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <cstdint>
#include <utility>

#include "nibble/base/error.h"

namespace nibble {
namespace {

// Both have the same members, so that one description of a layout serves either way.
class PartsWriter {
 public:
  void tensor(const char* name, const Tensor& tensor) {
    if (tensor.defined()) parts.tensors.emplace(name, tensor);
  }
  bool has(const char* /*name*/, bool present) { return present; }
  void number(const char* name, int64_t value) { parts.values[name] = std::to_string(value); }
  // By its bits, which a decimal number may not bring back.
  void number(const char* name, float value) {
    number(name, int64_t{std::bit_cast<int32_t>(value)});
  }
  void dtype(const char* name, DType value) { parts.values[name] = torch_name(value); }
  template <typename Enum>
  void choice(const char* name, Enum value, Enum /*last*/) {
    number(name, static_cast<int64_t>(value));
  }

  WeightParts parts;
};

class PartsReader {
 public:
  explicit PartsReader(const WeightParts& parts) : parts_(parts) {}

  void tensor(const char* name, Tensor& tensor) {
    const auto found = parts_.tensors.find(name);
    tensor = found == parts_.tensors.end() ? Tensor() : found->second;
  }
  bool has(const char* name, bool /*present*/) { return parts_.tensors.contains(name); }
  void number(const char* name, int64_t& value) {
    value = number_within(name, INT64_MIN, INT64_MAX);
  }
  void number(const char* name, float& value) {
    value = std::bit_cast<float>(static_cast<int32_t>(number_within(name, INT32_MIN, INT32_MAX)));
  }
  void dtype(const char* name, DType& value) {
    const auto dtype = dtype_from_torch(text(name));
    if (!dtype) throw bad(name, "a dtype");
    value = *dtype;
  }
  template <typename Enum>
  void choice(const char* name, Enum& value, Enum last) {
    value = static_cast<Enum>(number_within(name, 0, static_cast<int64_t>(last)));
  }

 private:
  const std::string& text(const char* name) const {
    const auto found = parts_.values.find(name);
    if (found != parts_.values.end()) return found->second;
    throw Error("a value of the weight is missing").expected(name);
  }
  Error bad(const char* name, std::string expected) const {
    Error error("a value of the weight is malformed");
    error.expected(fmt::format("{} as '{}'", expected, name)).got(text(name));
    return error;
  }
  int64_t number_within(const char* name, int64_t least, int64_t most) const {
    const std::string& digits = text(name);
    int64_t value = 0;
    const char* end = digits.data() + digits.size();
    const auto [stop, failure] = std::from_chars(digits.data(), end, value);
    if (failure != std::errc() || stop != end || value < least || value > most) {
      throw bad(name, fmt::format("a whole number of [{}, {}]", least, most));
    }
    return value;
  }

  const WeightParts& parts_;
};

// What a weight has beside its layout's own.
struct WeightFacts {
  Layout layout = Layout::kDense;
  int64_t rows = 0, cols = 0;
  DType dtype = DType::kF32;
  ActivationMode mode = ActivationMode::kFloat;
  float llm_int8_threshold = 0.0f;
};

template <typename Archive>
void describe(Archive& archive, WeightFacts& facts) {
  archive.choice("layout", facts.layout, Layout::kFloat8Block);
  archive.number("rows", facts.rows);
  archive.number("cols", facts.cols);
  archive.dtype("dtype", facts.dtype);
  archive.choice("activation", facts.mode, ActivationMode::kInt8);
  archive.number("llm_int8_threshold", facts.llm_int8_threshold);
}

template <typename Archive>
void describe(Archive& archive, Dense& packed) {
  archive.tensor("values", packed.values);
}

template <typename Archive>
void describe(Archive& archive, Int8Row& packed) {
  archive.tensor("codes", packed.codes);
  archive.tensor("absmax", packed.absmax);
}

template <typename Archive>
void describe(Archive& archive, NestedAbsmax& nested) {
  archive.tensor("nested_codes", nested.codes);
  archive.tensor("nested_absmax", nested.absmax);
  archive.tensor("nested_codebook", nested.codebook);
  archive.number("nested_block_size", nested.block_size);
  archive.number("nested_offset", nested.offset);
}

template <typename Archive>
void describe(Archive& archive, CodeBlock& packed) {
  archive.tensor("codes", packed.codes);
  archive.tensor("codebook", packed.codebook);
  archive.tensor("absmax", packed.absmax);
  archive.number("block_size", packed.block_size);
  if (!archive.has("nested_codes", packed.nested.has_value())) return;
  if (!packed.nested) packed.nested.emplace();
  describe(archive, *packed.nested);
}

template <typename Archive>
void describe(Archive& archive, AffineGroup& packed) {
  archive.tensor("codes", packed.codes);
  archive.tensor("scales", packed.scales);
  archive.tensor("zeros", packed.zeros);
  archive.tensor("positions", packed.positions);
  archive.number("bits", packed.bits);
  archive.number("group_size", packed.group_size);
  archive.choice("zero_form", packed.zero_form, ZeroForm::kAdded);
  archive.dtype("scale_dtype", packed.scale_dtype);
}

template <typename Archive>
void describe(Archive& archive, Float8Block& packed) {
  archive.tensor("codes", packed.codes);
  archive.tensor("scales", packed.scales);
  archive.number("block_rows", packed.block_rows);
  archive.number("block_cols", packed.block_cols);
}

template <typename Packed>
Packed read(PartsReader& reader) {
  Packed packed;
  describe(reader, packed);
  return packed;
}

Weight make_weight(PartsReader& reader, const WeightFacts& facts) {
  switch (facts.layout) {
    case Layout::kDense:
      return Weight::dense(read<Dense>(reader).values);
    case Layout::kInt8Row:
      return Weight::int8_row(read<Int8Row>(reader), facts.dtype, facts.mode,
                              facts.llm_int8_threshold);
    case Layout::kCodeBlock:
      return Weight::code_block(read<CodeBlock>(reader), facts.rows, facts.cols, facts.dtype);
    case Layout::kAffineGroup:
      return Weight::affine_group(read<AffineGroup>(reader), facts.cols, facts.dtype);
    case Layout::kFloat8Block:
      return Weight::float8_block(read<Float8Block>(reader), facts.dtype);
  }
  throw Error("this layout is not known");
}

}  // namespace

WeightParts parts_of(const Weight& weight) {
  PartsWriter writer;
  WeightFacts facts{weight.layout(),
                    weight.rows(),
                    weight.cols(),
                    weight.dtype(),
                    weight.activation_mode(),
                    weight.llm_int8_threshold()};
  describe(writer, facts);
  const auto add = [&](auto packed) { describe(writer, packed); };
  switch (weight.layout()) {
    case Layout::kDense:
      add(weight.as_dense());
      break;
    case Layout::kInt8Row:
      add(weight.as_int8_row());
      break;
    case Layout::kCodeBlock:
      add(weight.as_code_block());
      break;
    case Layout::kAffineGroup:
      add(weight.as_affine_group());
      break;
    case Layout::kFloat8Block:
      add(weight.as_float8_block());
      break;
  }
  return std::move(writer.parts);
}

Weight weight_of(const WeightParts& parts) {
  PartsReader reader(parts);
  WeightFacts facts;
  describe(reader, facts);
  Weight weight = make_weight(reader, facts);
  if (weight.rows() != facts.rows || weight.cols() != facts.cols || weight.dtype() != facts.dtype) {
    throw Error("the tensors are not those of the weight")
        .expected(
            fmt::format("{} {}", torch_name(facts.dtype), to_string(Shape{facts.rows, facts.cols})))
        .got(fmt::format("{} {}", torch_name(weight.dtype()),
                         to_string(Shape{weight.rows(), weight.cols()})));
  }
  return weight.activation_mode() == facts.mode ? weight : weight.with_activation_mode(facts.mode);
}

}  // namespace nibble
