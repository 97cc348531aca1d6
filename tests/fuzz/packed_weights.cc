// SPDX-License-Identifier: Apache-2.0
//
// A .safetensors file that holds quantized modules: every module is loaded by each scheme and
// decoded.
#include <nlohmann/json.hpp>
#include <string>
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
    return list;
  }();
  return kSchemes;
}

}  // namespace

void read(Input input) {
  write_scratch("model.safetensors", safetensors_bytes(input));
  const Checkpoint checkpoint = Checkpoint::open(scratch_folder());
  for (const std::string& name : checkpoint.names()) {
    if (!name.ends_with(".weight")) continue;
    const std::string module = name.substr(0, name.size() - std::string_view(".weight").size());
    for (const auto& scheme : schemes()) {
      try {
        if (!scheme->is_packed(checkpoint, module)) continue;
        // The seeds have modules of 64 columns; a matrix of codes says its own shape.
        const Shape& shape = checkpoint.info(name).shape;
        const int64_t codes = checkpoint.info(name).nbytes;
        const bool whole = shape.size() == 2 && shape[1] > 1;
        const int64_t rows = whole ? shape[0] : codes / 32, cols = whole ? shape[1] : 64;
        scheme->load(checkpoint, module, rows, cols).dequantize();
      } catch (const Error&) {
      }
    }
  }
}

}  // namespace nibble::fuzz
