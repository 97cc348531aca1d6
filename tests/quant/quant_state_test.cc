// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/quant_state.h"

#include <gtest/gtest.h>

#include "tests/quant/quant_testing.h"

namespace nibble {
namespace {

constexpr const char* kNested =
    R"({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [4096, 11008], )"
    R"("nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.04423423856496811})";
constexpr const char* kPlain =
    R"({"quant_type": "fp4", "blocksize": 128, "dtype": "float16", "shape": [3, 0]})";

TEST(QuantState, ReadsEveryField) {
  const QuantState state = parse_quant_state(kNested, "model.safetensors", "w");
  EXPECT_EQ(state.quant_type, QuantType::kNf4);
  EXPECT_EQ(state.blocksize, 64);
  EXPECT_EQ(state.dtype, DType::kBF16);
  EXPECT_EQ(state.shape, (Shape{4096, 11008}));
  ASSERT_TRUE(state.nested.has_value());
  EXPECT_EQ(state.nested->blocksize, 256);
  EXPECT_EQ(state.nested->offset, 0.04423423856496811f);
  EXPECT_FALSE(parse_quant_state(kPlain, "model.safetensors", "w").nested.has_value());
}

TEST(QuantState, WritesTheSameBytes) {
  for (const char* text : {kNested, kPlain}) {
    EXPECT_EQ(format_quant_state(parse_quant_state(text, "model.safetensors", "w")), text);
  }
}

TEST(QuantState, FloatsAreWrittenAsPythonDoes) {
  struct Row {
    double value;
    const char* text;
  };
  const Row rows[] = {
      {0.0, "0.0"},
      {-0.0, "-0.0"},
      {1.0, "1.0"},
      {-2.5, "-2.5"},
      {0.1, "0.1"},
      {0.0001, "0.0001"},
      {0.00001, "1e-05"},
      {0.000123, "0.000123"},
      {123456, "123456.0"},
      {1e15, "1000000000000000.0"},
      {1e16, "1e+16"},
      {1.5e-7, "1.5e-07"},
      {1.25e17, "1.25e+17"},
      {1e22, "1e+22"},
      {1e100, "1e+100"},
      {5e-324, "5e-324"},
      {double{0.1f}, "0.10000000149011612"},
      {9007199254740993.0, "9007199254740992.0"},
  };
  for (const Row& row : rows) EXPECT_EQ(python_float_repr(row.value), row.text);
}

TEST(QuantState, RefusesWithFileTensorAndKey) {
  const std::string base = R"("quant_type": "nf4", "blocksize": 64, "dtype": "float32")";
  const std::string whole = base + R"(, "shape": [2, 3])";
  const std::pair<std::string, std::string> rows[] = {
      {"[]", "quant state is not a JSON object"},
      {"{" + whole + R"(, "bits": 4})", "quant state has an unknown key: got bits"},
      {R"({"blocksize": 64})",
       R"(quant state has a bad 'quant_type': expected "nf4" or "fp4", got nothing)"},
      {R"({"quant_type": "int4"})",
       R"(quant state has a bad 'quant_type': expected "nf4" or "fp4", got "int4")"},
      {R"({"quant_type": 4})",
       R"(quant state has a bad 'quant_type': expected "nf4" or "fp4", got 4)"},
      {R"({"quant_type": "nf4", "dtype": "int8"})",
       R"(quant state has a bad 'dtype': expected "float32", "float16" or "bfloat16", got "int8")"},
      {R"({"quant_type": "nf4", "dtype": "float16", "blocksize": 0})",
       "quant state has a bad 'blocksize': expected a positive integer, got 0"},
      {R"({"quant_type": "nf4", "dtype": "float16", "blocksize": 64.0})",
       "quant state has a bad 'blocksize': expected a positive integer, got 64.0"},
      {R"({"quant_type": "nf4", "dtype": "float16", "blocksize": 18446744073709551615})",
       "quant state has a bad 'blocksize': expected a positive integer, got "
       "18446744073709551615"},
      {"{" + base + R"(, "shape": null})",
       "quant state has a bad 'shape': expected [rows, cols], got null"},
      {"{" + base + R"(, "shape": [2, 3, 4]})",
       "quant state has a bad 'shape': expected [rows, cols], got [2,3,4]"},
      {"{" + base + R"(, "shape": [2, -3]})",
       "quant state has a bad 'shape': expected [rows, cols], got [2,-3]"},
      {"{" + whole + R"(, "nested_offset": 1.0})",
       R"(quant state has a bad 'nested_dtype': expected "float32", got nothing)"},
      {"{" + whole + R"(, "nested_dtype": "float32", "nested_offset": 1.0})",
       "quant state has a bad 'nested_blocksize': expected a positive integer, got nothing"},
      {"{" + whole + R"(, "nested_dtype": "float32", "nested_blocksize": 256})",
       "quant state has a bad 'nested_offset': expected a finite float32, got nothing"},
      {"{" + whole +
           R"(, "nested_dtype": "float32", "nested_blocksize": 256, "nested_offset": 1e39})",
       "quant state has a bad 'nested_offset': expected a finite float32, got 1e+39"},
  };
  for (const auto& [json, message] : rows) {
    EXPECT_EQ(message_of([&] { parse_quant_state(json, "m.safetensors", "w.quant_state"); }),
              "m.safetensors: tensor 'w.quant_state': " + message);
  }
}

TEST(QuantState, BrokenJsonNamesTheTensor) {
  const std::string message =
      message_of([&] { parse_quant_state("{\"quant_type\": ", "m.safetensors", "w.quant_state"); });
  EXPECT_EQ(message.rfind("m.safetensors: tensor 'w.quant_state': ", 0), 0u) << message;
}

}  // namespace
}  // namespace nibble
