// SPDX-License-Identifier: Apache-2.0
//
// A .safetensors file that holds quantized modules: every module is loaded by each scheme and
// decoded.
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/io/checkpoint.h"
#include "nibble/quant/registry.h"
#include "tests/fuzz/fuzzing.h"
#include "tests/fuzz/safetensors_input.h"

namespace nibble::fuzz {

// Codes of 4 bits become float32.
const MemoryBound kMemory{.fixed = 1 << 20, .per_byte = 256};

namespace {

const std::vector<std::unique_ptr<Scheme>>& schemes() {
  static const auto kSchemes = [] {
    std::vector<std::unique_ptr<Scheme>> list;
    BitsAndBytesConfig config;
    config.load_in_8bit = true;
    list.push_back(make_scheme(config));
    config = {};
    config.load_in_4bit = true;
    for (const char* type : {"nf4", "fp4"}) {
      config.bnb_4bit_quant_type = type;
      list.push_back(make_scheme(config));
    }
    for (const char* packing : {R"({"quant_method": "gptq", "bits": 4, "group_size": 32})",
                                R"({"quant_method": "gptq", "bits": 3, "group_size": 32,
                                    "sym": false})",
                                R"({"quant_method": "marlin", "bits": 4, "group_size": 64})",
                                R"({"quant_method": "awq", "group_size": 32})",
                                R"({"quant_method": "awq", "group_size": 32, "version": "gemv"})",
                                R"({"quant_method": "awq", "group_size": 32,
                                    "version": "gemv_fast"})",
                                R"({"quant_method": "awq", "version": "marlin"})",
                                R"({"quant_method": "fp8", "weight_block_size": [16, 32]})",
                                R"({"quant_method": "fbgemm_fp8"})", R"({"quant_method": "eetq"})",
                                R"({"quant_method": "hqq"})",
                                R"({"quant_method": "group-int8",
                                    "group_size": 48})"}) {
      list.push_back(make_scheme(nlohmann::ordered_json::parse(packing), ""));
    }
    return list;
  }();
  return kSchemes;
}

// The modules of a checkpoint: what stands before the name of a tensor of codes.
std::set<std::string> modules_of(const Checkpoint& checkpoint) {
  std::set<std::string> modules;
  for (const std::string& name : checkpoint.names()) {
    for (const std::string_view suffix : {".weight", ".qweight", ".B", ".W_q"}) {
      if (name.ends_with(suffix)) modules.insert(name.substr(0, name.size() - suffix.size()));
    }
  }
  return modules;
}

// The seeds have modules of 64 columns; a matrix of codes says its own shape.
Shape shape_of(const Checkpoint& checkpoint, const std::string& module) {
  const std::string weight = module + ".weight";
  if (!checkpoint.contains(weight)) return {64, 64};
  const TensorInfo& info = checkpoint.info(weight);
  const bool whole = info.shape.size() == 2 && info.shape[1] > 1 && info.nbytes > 0;
  return whole ? info.shape : Shape{info.nbytes / 32, 64};
}

}  // namespace

void read(Input input) {
  write_scratch("model.safetensors", safetensors_bytes(input));
  const Checkpoint checkpoint = Checkpoint::open(scratch_folder());
  ThreadPool pool(1);
  for (const std::string& module : modules_of(checkpoint)) {
    const Shape shape = shape_of(checkpoint, module);
    for (const auto& scheme : schemes()) {
      try {
        scheme->remarks(checkpoint);
        if (!scheme->is_packed(checkpoint, module)) continue;
        scheme->load(checkpoint, module, shape[0], shape[1], pool).dequantize();
      } catch (const Error&) {
      }
    }
  }
}

}  // namespace nibble::fuzz
