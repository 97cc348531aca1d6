// SPDX-License-Identifier: Apache-2.0
//
// Against tests/golden/packings.*: what the packers of AutoGPTQ and AutoAWQ wrote for given codes,
// scales and zeros (make_packings_golden.py). Files decode to these numbers, and weights made of
// the numbers are written as the packers write them, byte for byte.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nibble/io/json_file.h"
#include "nibble/quant/affine_packing.h"
#include "nibble/quant/gptq_packing.h"
#include "nibble/quant/registry.h"
#include "tests/quant/quant_testing.h"
#include "tests/testing/paths.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

class PackingsGolden : public ::testing::Test {
 protected:
  Tensor numbers(const Json& test, const char* part) const {
    return golden_.tensor(test["numbers"].get<std::string>() + "/" + part);
  }

  // The weight that the packer was given, in the layout.
  Weight weight_of(const Json& test) const {
    const int64_t cols = test["cols"], bits = test["config"]["bits"];
    AffineGroup packed;
    packed.bits = bits;
    packed.group_size = test["config"]["group_size"];
    packed.scales = to_dtype(numbers(test, "scales"), DType::kF32);
    packed.zeros = floats_of_codes(numbers(test, "zeros"));
    packed.codes = pack_code_matrix(numbers(test, "codes"), bits);
    packed.positions =
        positions_of_groups(numbers(test, "groups"), packed.scales.dim(1), packed.group_size);
    if (packed.positions.defined()) {
      packed.codes = with_columns_in(ColumnOrder::kStored, packed.codes, packed.positions, bits);
    }
    return Weight::affine_group(packed, cols, DType::kF16);
  }

  std::unique_ptr<Scheme> scheme_of(const Json& test) const {
    return make_scheme(test["config"], "packings.json");
  }

  static bool is_ruined(const Json& test) { return test["name"] == "gptq_4_ruined"; }

  Checkpoint golden_ = Checkpoint::open(paths::golden("packings.safetensors"));
  Json manifest_ = read_json_file(paths::golden("packings.json"));
};

bool equal_bytes(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.nbytes())) == 0;
}

TEST_F(PackingsGolden, FilesDecodeToTheNumbersThatWerePacked) {
  for (const Json& test : manifest_["cases"]) {
    if (is_ruined(test)) continue;
    const std::string name = test["name"];
    SCOPED_TRACE(name);
    const auto scheme = scheme_of(test);
    ASSERT_TRUE(scheme->is_packed(golden_, name));
    const Weight loaded = scheme->load(golden_, name, test["rows"], test["cols"], test_pool());
    const Weight expected = weight_of(test);
    const AffineGroup &got = loaded.as_affine_group(), &want = expected.as_affine_group();
    EXPECT_TRUE(equal_bytes(got.codes, want.codes));
    EXPECT_TRUE(equal_bytes(got.scales, want.scales));
    EXPECT_EQ(got.positions.defined(), want.positions.defined());
    const auto zeros = zero_codes(got);
    ASSERT_TRUE(zeros);
    EXPECT_TRUE(equal_bytes(*zeros, numbers(test, "zeros")));
    if (got.zero_form == ZeroForm::kSubtracted) {
      EXPECT_TRUE(equal_bytes(loaded.dequantize(DType::kF32), expected.dequantize(DType::kF32)));
    }
  }
}

TEST_F(PackingsGolden, WeightsAreWrittenAsThePackersWriteThem) {
  for (const Json& test : manifest_["cases"]) {
    if (is_ruined(test)) continue;
    const std::string name = test["name"];
    SCOPED_TRACE(name);
    const auto scheme = scheme_of(test);
    for (const Weight& weight :
         {weight_of(test), scheme->load(golden_, name, test["rows"], test["cols"], test_pool())}) {
      const std::vector<NamedTensor> saved = scheme->save(weight, name);
      ASSERT_EQ(saved.size(), test["order"].size());
      for (size_t i = 0; i < saved.size(); ++i) {
        EXPECT_EQ(saved[i].name, name + "." + test["order"][i].get<std::string>());
        EXPECT_TRUE(equal_bytes(saved[i].tensor, golden_.tensor(saved[i].name))) << saved[i].name;
      }
    }
  }
}

TEST_F(PackingsGolden, RuinedZerosAreRefused) {
  for (const Json& test : manifest_["cases"]) {
    if (!is_ruined(test)) continue;
    const std::string message = message_of([&] {
      scheme_of(test)->load(golden_, test["name"], test["rows"], test["cols"], test_pool());
    });
    EXPECT_NE(message.find("tensor 'gptq_4_ruined.qzeros': zero-points are ruined: got "),
              std::string::npos)
        << message;
  }
}

}  // namespace
}  // namespace nibble
