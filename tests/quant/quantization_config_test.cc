// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/quantization_config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "nibble/io/json_file.h"
#include "nibble/quant/registry.h"
#include "tests/quant/quant_testing.h"
#include "tests/testing/paths.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

QuantizationConfig read(const std::string& json) {
  return read_quantization_config(Json::parse(json), "config.json");
}

// What transformers reads and writes (tests/golden/make_quantization_config_golden.py).
TEST(QuantizationConfig, EqualsTransformers) {
  const Json cases = read_json_file(paths::golden("quantization_config.json"));
  ASSERT_GT(cases.size(), 60u);
  for (const Json& row : cases) {
    SCOPED_TRACE(row["input"].dump());
    if (row.contains("error")) {
      EXPECT_THROW(read_quantization_config(row["input"], "config.json"), Error);
      continue;
    }
    std::string written;
    EXPECT_EQ(message_of([&] {
                written = to_json(read_quantization_config(row["input"], "config.json")).dump();
              }),
              "no error");
    EXPECT_EQ(written, row["output"].dump());
    EXPECT_EQ(to_json(read_quantization_config(row["output"], "config.json")), row["output"]);
  }
}

TEST(QuantizationConfig, RefusesWithFileAndKey) {
  struct Row {
    const char* json;
    const char* message;
  };
  const Row rows[] = {
      {"3", "quantization_config is not an object: got 3"},
      {"{}", "quantization_config has no 'quant_method'"},
      {R"({"quant_method": "torchao"})",
       "quantization method is not known: expected one of awq, bitsandbytes, "
       "compressed-tensors, eetq, fbgemm_fp8, fp8, gptq, group-int8, hqq, got \"torchao\""},
      {R"({"quant_method": "gptq"})",
       "quantization_config has a bad 'bits': expected 2, 3, 4 or 8, got nothing"},
      {R"({"quant_method": "gptq", "bits": 5})",
       "quantization_config has a bad 'bits': expected 2, 3, 4 or 8, got 5"},
      {R"({"quant_method": "gptq", "bits": 4, "group_size": 0})",
       "quantization_config has a bad 'group_size': expected -1 or at least 1, got 0"},
      {R"({"quant_method": "gptq", "bits": 4, "desc_act": "yes"})",
       "quantization_config has a bad 'desc_act': expected a boolean, got \"yes\""},
      {R"({"quant_method": "gptq", "bits": 4, "damp_percent": 1})",
       "quantization_config has a bad 'damp_percent': expected a number between 0 and 1, got 1"},
      {R"({"quant_method": "gptq", "bits": 4, "dataset": "ptb-new"})",
       "quantization_config has a bad 'dataset': expected wikitext2, c4, c4-new or a list of "
       "texts, "
       "got \"ptb-new\""},
      {R"({"quant_method": "gptq", "bits": 4, "modules_in_block_to_quantize": ["q_proj"]})",
       "quantization_config has a bad 'modules_in_block_to_quantize': expected a list of lists of "
       "strings or null, got [\"q_proj\"]"},
      {R"({"quant_method": "gptq", "bits": 4, "use_exllama": true, "disable_exllama": false})",
       "quantization_config has a bad 'disable_exllama': expected use_exllama or disable_exllama, "
       "not both, got false"},
      {R"({"quant_method": "gptq", "bits": 4, "exllama_config": {"version": 3}})",
       "quantization_config has a bad 'exllama_config.version': expected 1 or 2, got 3"},
      {R"({"quant_method": "gptq", "bits": 4, "exllama_config": {}})",
       "quantization_config has a bad 'exllama_config.version': expected 1 or 2, got nothing"},
      {R"({"quant_method": "awq", "version": "machete"})",
       "quantization_config has a bad 'version': expected one of gemm, gemv, gemv_fast, llm-awq, "
       "exllama, ipex, marlin, got \"machete\""},
      {R"({"quant_method": "awq", "do_fuse": true, "fuse_max_seq_len": 512})",
       "quantization_config has a bad 'do_fuse': expected false or null, got true; fused modules "
       "are gone from transformers 5"},
      {R"({"quant_method": "awq", "bits": 64})",
       "quantization_config has a bad 'bits': expected an integer from 1 to 8, got 64"},
      {R"({"quant_method": "eetq", "weights": "int4"})",
       "quantization_config has a bad 'weights': expected \"int8\", got \"int4\""},
      {R"({"quant_method": "hqq", "nbits": 7})",
       "quantization_config has a bad 'nbits': expected 8, 6, 5, 4, 3, 2, 1.58 or 1, got 7"},
      {R"({"quant_method": "hqq", "dynamic_config": {}})",
       "quantization_config has a bad 'dynamic_config': expected at least one tag, got {}"},
      {R"({"quant_method": "hqq", "dynamic_config": {"a": {"bits": 4}}})",
       "quantization_config has a bad 'dynamic_config.a.bits': expected nbits, group_size, axis or "
       "view_as_float, got 4"},
      {R"({"quant_method": "hqq", "dynamic_config": {"a": {"quant_zero": true}}})",
       "quantization_config has a bad 'dynamic_config.a.quant_zero': expected false, got true"},
      {R"({"quant_method": "hqq", "axis": 2})",
       "quantization_config has a bad 'axis': expected 0 or 1, got 2"},
      {R"({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"group_size": 12}}})",
       "quantization_config has a bad 'quant_config.weight_quant_params.group_size': expected a "
       "multiple of 8 or null, got 12"},
      {R"({"quant_method": "hqq", "quant_config": {"weight_quant_params": {},
           "zero_quant_params": {"nbits": 8}}})",
       "quantization_config has a bad 'quant_config.zero_quant_params': expected null, got "
       "{\"nbits\":8}"},
      {R"({"quant_method": "hqq", "quant_config": {"weight_quant_params": {},
           "offload_meta": true}})",
       "quantization_config has a bad 'quant_config.offload_meta': expected false, got true"},
      {R"({"quant_method": "hqq", "quant_config": {"self_attn.q_proj": 4}})",
       "'quant_config.self_attn.q_proj' of quantization_config is not an object: got 4"},
      {R"({"quant_method": "hqq", "skip_modules": "lm_head"})",
       "quantization_config has a bad 'skip_modules': expected a list of strings or null, got "
       "\"lm_head\""},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(message_of([&] { read(row.json); }), std::string("config.json: ") + row.message);
  }
}

TEST(QuantizationConfig, SaysWhatItIgnored) {
  EXPECT_TRUE(notes_of(read(R"({"load_in_4bit": true, "_load_in_4bit": true})")).empty());
  EXPECT_EQ(notes_of(read(R"({"load_in_4bit": true, "a": 1})")),
            (std::vector<std::string>{"quantization_config: ignored key 'a'"}));
  EXPECT_EQ(notes_of(read(R"({"quant_method": "gptq", "bits": 4, "desc_act": true,
                              "act_group_aware": true, "static_groups": false, "lm_head": false})")),
            (std::vector<std::string>{"quantization_config: ignored key 'lm_head'",
                                      "act_group_aware is off: it does not go with desc_act"}));
}

TEST(QuantizationConfig, FactsOfEachMethod) {
  const auto facts = [](const char* json) { return facts_of(read(json)); };
  EXPECT_EQ(facts(R"({"load_in_8bit": true})").scheme, "int8");
  EXPECT_EQ(facts(R"({"load_in_4bit": true})").scheme, "fp4");
  EXPECT_EQ(facts(R"({"load_in_4bit": true, "bnb_4bit_quant_type": "x"})").scheme, "");
  const QuantizationFacts gptq = facts(R"({"quant_method": "gptq", "bits": 3, "group_size": 32})");
  EXPECT_EQ(gptq.bits, 3);
  EXPECT_EQ(gptq.group_size, 32);
  EXPECT_EQ(gptq.format, "gptq");
  EXPECT_EQ(facts(R"({"quant_method": "awq", "version": "GEMV"})").format, "gemv");
  EXPECT_EQ(facts(R"({"quant_method": "hqq", "nbits": 1.58})").bits, 1.58);
}

// Bytes as hqq's Quantizer packs a [64, 256] matrix.
TEST(HqqConfig, SizesOfAllBits) {
  const std::pair<const char*, int64_t> sizes[] = {{"8", 16384}, {"6", 16384},  {"5", 16384},
                                                   {"4", 8192},  {"3", 6656},   {"2", 4096},
                                                   {"1", 2048},  {"1.58", 4096}};
  for (const auto& [bits, bytes] : sizes) {
    const auto config =
        std::get<HqqConfig>(read(R"({"quant_method": "hqq", "nbits": )" + std::string(bits) + "}"));
    EXPECT_EQ(config.packed_size(64, 256).bytes, bytes) << bits;
  }
}

TEST(HqqConfig, ReadsBothFormsAndWritesTheNestedOne) {
  const char* nested =
      R"({"quant_config":{"offload_meta":false,"scale_quant_params":null,"weight_quant_params":)"
      R"({"axis":1,"channel_wise":true,"group_size":64,"nbits":4,"optimize":true,)"
      R"("round_zero":true,"view_as_float":false},"zero_quant_params":null},)"
      R"("quant_method":"hqq","skip_modules":["lm_head"]})";
  EXPECT_EQ(to_json(read(R"({"quant_method": "hqq"})")).dump(), nested);
  EXPECT_EQ(to_json(read(nested)).dump(), nested);
  const auto by_tag = std::get<HqqConfig>(read(
      R"({"quant_method": "hqq", "dynamic_config": {"mlp.up_proj": {"nbits": 2, "axis": 0}}})"));
  EXPECT_EQ(by_tag.by_tag.at("mlp.up_proj").nbits, 2);
  EXPECT_EQ(by_tag.by_tag.at("mlp.up_proj").axis, 0);
  EXPECT_FALSE(by_tag.by_tag.at("mlp.up_proj").round_zero);
  EXPECT_EQ(to_json(read(to_json(QuantizationConfig(by_tag)).dump())),
            to_json(QuantizationConfig(by_tag)));
}

TEST(FindQuantizationConfig, ReadsTheFilesOfAutoGptqAndAutoAwq) {
  const TemporaryCheckpoint checkpoint({{"a", Tensor::zeros(DType::kF32, {1})}});
  const std::filesystem::path folder = (*checkpoint).folder();
  EXPECT_FALSE(find_quantization_config(folder, Json()));
  write_json_file(folder / "quant_config.json",
                  {{"zero_point", true}, {"q_group_size", 64}, {"w_bit", 4}, {"version", "GEMM"}});
  auto found = find_quantization_config(folder, Json());
  ASSERT_TRUE(found);
  EXPECT_EQ(facts_of(*found).method, "awq");
  EXPECT_EQ(facts_of(*found).group_size, 64);
  write_json_file(folder / "quantize_config.json",
                  {{"bits", 8}, {"group_size", -1}, {"desc_act", true}, {"damp_percent", 0.01}});
  found = find_quantization_config(folder, Json());
  EXPECT_EQ(facts_of(*found).method, "gptq");
  EXPECT_EQ(facts_of(*found).bits, 8);
  // The entry of config.json comes first.
  found = find_quantization_config(folder, Json{{"load_in_8bit", true}});
  EXPECT_EQ(facts_of(*found).scheme, "int8");
  write_json_file(folder / "quantize_config.json", {{"bits", 7}});
  EXPECT_EQ(message_of([&] { find_quantization_config(folder, Json()); }),
            (folder / "quantize_config.json").string() +
                ": quantization_config has a bad 'bits': expected 2, 3, 4 or 8, got 7");
}

TEST(MakeScheme, KnowsEveryMethodAndNamesTheFileOfAFormatThatIsNot) {
  for (const char* method : {"gptq", "awq", "eetq", "hqq"}) {
    EXPECT_EQ(make_scheme(Json{{"quant_method", method}, {"bits", 4}}, "m")->name(), method);
  }
  EXPECT_EQ(message_of([] {
              make_scheme(Json{{"quant_method", "gptq"}, {"bits", 4}, {"format", "gptq_p"}}, "m");
            }),
            "m: this format of GPTQ files is not read here: expected gptq, gptq_v2 or marlin, got "
            "gptq_p; its codes are planes of bits, of which GPTQModel alone is a reader");
}

}  // namespace
}  // namespace nibble
