// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/json_file.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "tests/io/io_testing.h"

namespace nibble {
namespace {

using nlohmann::ordered_json;
using testing::message_of;
using testing::ScratchFolder;
using testing::write_file;

std::string parse_error(std::string_view text, JsonLimits limits = {}) {
  return message_of([&] { parse_json(text, "c.json", limits); });
}

TEST(JsonFile, KeepsTheOrderOfKeysAndAllKindsOfValues) {
  ScratchFolder folder;
  write_file(
      folder / "c.json",
      R"({"z": 1, "a": -2, "f": 1.5, "t": true, "n": null, "s": "é\n", "l": [1, {"x": []}]})");
  const ordered_json value = read_json_file(folder / "c.json");
  EXPECT_EQ(value.dump(), R"({"z":1,"a":-2,"f":1.5,"t":true,"n":null,"s":"é\n","l":[1,{"x":[]}]})");
  EXPECT_EQ(parse_json("7", "c.json").get<int>(), 7);
}

TEST(JsonFile, OfAKeyThatComesTwiceTheLastValueCounts) {
  EXPECT_EQ(parse_json(R"({"a": 1, "b": 2, "a": 3})", "c.json").dump(), R"({"a":3,"b":2})");
}

TEST(JsonFile, ReadsIntegersBeyond64BitsAsPythonWritesThem) {
  // model_max_length of many tokenizers.
  EXPECT_EQ(parse_json("1000000000000000019884624838656", "c.json").get<double>(), 1e30);
}

TEST(JsonFile, ErrorsSayLineColumnAndByte) {
  const struct {
    std::string text, message;
  } cases[] = {
      {"",
       "c.json: file is not valid JSON: got line 1, column 1: syntax error while parsing value - "
       "unexpected end of input; expected '[', '{', or a literal (at byte 0)"},
      {"{\n  \"a\": 1,\n  \"b\" 2}",
       "c.json: file is not valid JSON: got line 3, column 7: syntax error while parsing object "
       "separator - unexpected number literal; expected ':' (at byte 18)"},
      {"[1] x",
       "c.json: file is not valid JSON: got line 1, column 5: syntax error while parsing value - "
       "invalid literal; last read: '1] x'; expected end of input (at byte 4)"},
      {"[1e999]",
       "c.json: file is not valid JSON: got line 1, column 6: number overflow parsing '1e999' "
       "(at byte 5)"},
      {"\"\xff\"",
       "c.json: file is not valid JSON: got line 1, column 2: syntax error while parsing value - "
       "invalid string: ill-formed UTF-8 byte; last read: '\"\\xff' (at byte 1)"},
  };
  for (const auto& c : cases) EXPECT_EQ(parse_error(c.text), c.message);
}

TEST(JsonFile, DepthAndSizeAreBounded) {
  const std::string deep = std::string(1'000'000, '[');
  EXPECT_EQ(parse_error(deep), "c.json: JSON is nested too deeply: expected at most 64 levels");
  EXPECT_EQ(parse_error("[[[]]]", {.max_depth = 3}), "no error");
  EXPECT_EQ(parse_error(R"([{"a":[]}])", {.max_depth = 2}),
            "c.json: JSON is nested too deeply: expected at most 2 levels");
  ScratchFolder folder;
  write_file(folder / "c.json", "[1,2]");
  EXPECT_EQ(message_of([&] { read_json_file(folder / "c.json", {.max_bytes = 4}); }, folder.path()),
            "c.json: file is too large: expected at most 4 bytes, got 5");
}

TEST(JsonFile, TakesTimeLinearInTheNumberOfKeys) {
  // A linear search per key would need 2 * 10^10 comparisons of strings here: minutes.
  std::string text = "{";
  for (int i = 0; i < 200'000; ++i) text += "\"key" + std::to_string(i) + "\":0,";
  text.back() = '}';
  EXPECT_EQ(parse_json(text, "c.json").size(), 200'000u);
}

TEST(JsonFile, WritesAsTransformersDoes) {
  ScratchFolder folder;
  const ordered_json value = parse_json(
      R"({"b":[],"a":{"x":[1,2]},"eps":1e-05,"big":1e+30,"one":1.0,"s":"é\"\u007f","none":null})",
      "c.json");
  write_json_file(folder / "c.json", value);
  // json.dumps(value, indent=2) + "\n"
  EXPECT_EQ(testing::read_file(folder / "c.json"),
            "{\n  \"b\": [],\n  \"a\": {\n    \"x\": [\n      1,\n      2\n    ]\n  },\n"
            "  \"eps\": 1e-05,\n  \"big\": 1e+30,\n  \"one\": 1.0,\n"
            "  \"s\": \"\\u00e9\\\"\\u007f\",\n  \"none\": null\n}\n");
  EXPECT_EQ(testing::list(folder.path()), (std::set<std::string>{"c.json"}));
}

TEST(JsonFile, RefusesToWriteWhatJsonCannotExpress) {
  EXPECT_EQ(message_of([] { format_json({{"a", std::numeric_limits<double>::infinity()}}); }),
            "number cannot be written as JSON: expected a finite number");
  EXPECT_EQ(message_of([] { format_json({{"a", "\xff"}}); }),
            "text cannot be written as JSON: expected UTF-8");
}

}  // namespace
}  // namespace nibble
