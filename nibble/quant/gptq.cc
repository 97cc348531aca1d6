// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/gptq.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/quant/affine_packing.h"
#include "nibble/quant/affine_rtn.h"
#include "nibble/quant/gptq_packing.h"
#include "nibble/quant/marlin_packing.h"

namespace nibble {
namespace {

constexpr std::string_view kZerosName = ".qzeros";
constexpr const char* kMarlinFormat = "marlin";

// Section 3 of GPTQ's code, but that a symmetric grid always reaches both ways: the original halves
// the scale of a group without negative weights and clips the upper half of them.
float gptq_scale(float smallest, float largest, int64_t bits, bool sym) {
  const float magnitude = std::max(-smallest, largest);
  if (magnitude == 0.0f) smallest = -1.0f, largest = 1.0f;
  const float range = sym && magnitude > 0.0f ? 2 * magnitude : largest - smallest;
  return range / static_cast<float>((1 << bits) - 1);
}

GptqZeros zeros_of_format(const std::string& format) {
  return format == "gptq" ? GptqZeros::kLessOne : GptqZeros::kAsTheyAre;
}

// How the words store zeros: as the format says, but that of a symmetric model, whose zeros are all
// the middle code, the words decide.
GptqZeros form_of(const Tensor& words, const GptqConfig& config) {
  const GptqZeros named = zeros_of_format(config.format);
  if (!config.sym) return named;
  const auto is_symmetric = [&](GptqZeros form) {
    const int64_t rows = words.dim(1) * 32 / config.bits;
    const Tensor zeros = zeros_of_gptq(words, rows, config.bits, form);
    return std::ranges::all_of(zeros.data<uint8_t>(),
                               [&](uint8_t zero) { return zero == 1 << (config.bits - 1); });
  };
  const GptqZeros other =
      named == GptqZeros::kLessOne ? GptqZeros::kAsTheyAre : GptqZeros::kLessOne;
  return !is_symmetric(named) && is_symmetric(other) ? other : named;
}

// GPTQModel takes the one from whole words, so that nothing is lost.
bool was_written_by_words(const GptqConfig& config) {
  return config.meta.is_object() && config.meta.contains("quantizer") &&
         config.meta["quantizer"].dump().find("gptqmodel") != std::string::npos;
}

RtnOptions grid_of_config(const GptqConfig& config, int64_t cols) {
  RtnOptions options;
  options.bits = config.bits;
  options.group_size = resolved_group_size(config.group_size, cols);
  options.sym = config.sym || config.format == kMarlinFormat;
  options.scale = options.sym
                      ? [](float s, float l, int64_t b) { return gptq_scale(s, l, b, true); }
                      : [](float s, float l, int64_t b) { return gptq_scale(s, l, b, false); };
  return options;
}

}  // namespace

GptqScheme::GptqScheme(GptqConfig config) : config_(std::move(config)), rules_(config_.dynamic) {
  if (is_marlin() && config_.bits != 4) {
    throw Error("Marlin files have codes of 4 bits")
        .expected("4")
        .got(std::to_string(config_.bits));
  }
  if (config_.format == "gptq" || config_.format == "gptq_v2" || is_marlin()) return;
  Error error("this format of GPTQ files is not read here");
  error.expected("gptq, gptq_v2 or marlin").got(config_.format);
  if (config_.format == "gptq_p") {
    error.hint("its codes are planes of bits, of which GPTQModel alone is a reader");
  }
  throw error;
}

GptqConfig GptqScheme::config_for(const std::string& module) const {
  GptqConfig config = config_;
  if (const GptqRule* rule = rules_.find(module)) {
    config.bits = rule->bits.value_or(config.bits);
    config.group_size = rule->group_size.value_or(config.group_size);
    config.sym = rule->sym.value_or(config.sym);
  }
  return config;
}

RtnOptions GptqScheme::grid_options(int64_t cols) const { return grid_of_config(config_, cols); }

RtnOptions GptqScheme::grid_options(int64_t cols, const std::string& module) const {
  return grid_of_config(config_for(module), cols);
}

Weight GptqScheme::quantize(const Tensor& dense, ThreadPool& pool) const {
  return round_to_nearest(dense, pool, grid_options(dense.defined() ? dense.dim(-1) : 0));
}

std::optional<std::string> GptqScheme::misfit(int64_t rows, int64_t cols) const {
  if (is_marlin())
    return fits_marlin(rows, cols) ? std::nullopt : std::optional<std::string>(kMarlinShapes);
  if (fits_gptq(rows, cols, config_.bits)) return std::nullopt;
  return "rows and columns that fill words of 32 bits";
}

Weight GptqScheme::load(const Checkpoint& checkpoint, const std::string& module, int64_t rows,
                        int64_t cols, ThreadPool& pool) const {
  if (is_marlin()) return load_marlin(checkpoint, module, rows, cols, pool);
  const ModuleReader reader(checkpoint, module);
  const GptqConfig config = config_for(module);
  const int64_t bits = config.bits;
  if (!fits_gptq(rows, cols, bits)) {
    throw reader.error("qweight", "a matrix of this shape cannot be packed in whole words")
        .got(fmt::format("{}, {} bits", to_string(Shape{rows, cols}), bits));
  }
  AffineGroup packed;
  packed.bits = bits;
  packed.group_size = resolved_group_size(config.group_size, cols);
  const int64_t groups = block_count(cols, packed.group_size);
  const Tensor words = reader.tensor("qweight", DType::kI32, {cols * bits / 32, rows});
  packed.codes = codes_of_gptq(words, pool);
  packed.scales =
      transposed(read_scales(reader, "scales", {groups, rows}, packed.scale_dtype), &pool);
  const Tensor zero_words = reader.tensor("qzeros", DType::kI32, {groups, rows * bits / 32});
  const bool less_one = zeros_of_format(config.format) == GptqZeros::kLessOne;
  if (less_one && !config.sym && !was_written_by_words(config)) {
    if (const int64_t ruined = count_ruined_words(zero_words, bits)) {
      throw reader.error("qzeros", "zero-points are ruined")
          .got(fmt::format("{} of {} words overwritten by a zero-point of 0", ruined,
                           zero_words.numel()))
          .hint("a fault of AutoGPTQ with asymmetric groups: quantize the model anew, as gptq_v2");
    }
  }
  packed.zeros =
      floats_of_codes(zeros_of_gptq(zero_words, rows, bits, form_of(zero_words, config)));
  if (reader.contains("g_idx")) {
    const Tensor g_idx = reader.tensor("g_idx", DType::kI32, {cols});
    try {
      packed.positions = positions_of_groups(g_idx, groups, packed.group_size);
    } catch (Error& error) {
      throw error.file(checkpoint.file_of(reader.name("g_idx"))).tensor(reader.name("g_idx"));
    }
  }
  if (packed.positions.defined()) {
    packed.codes =
        with_columns_in(ColumnOrder::kStored, packed.codes, packed.positions, bits, &pool);
  }
  const DType dtype = packed.scale_dtype;
  return Weight::affine_group(std::move(packed), cols, dtype);
}

std::vector<std::string> GptqScheme::remarks(const Checkpoint& checkpoint) const {
  const auto is_zeros = [](const std::string& name) { return name.ends_with(kZerosName); };
  const auto first = std::ranges::find_if(checkpoint.names(), is_zeros);
  if (is_marlin() || first == checkpoint.names().end()) return {};
  const Tensor words = checkpoint.tensor(*first);
  if (words.dtype() != DType::kI32 || words.rank() != 2) return {};
  const GptqConfig config = config_for(first->substr(0, first->size() - kZerosName.size()));
  if (form_of(words, config) == zeros_of_format(config_.format)) return {};
  return {
      fmt::format("quantization_config says {}, but zeros are stored as {} does: they are read "
                  "so",
                  config_.format, config_.format == "gptq" ? "gptq_v2" : "gptq")};
}

bool GptqScheme::is_packed(const Checkpoint& checkpoint, const std::string& module) const {
  return checkpoint.contains(module_prefix(module) + (is_marlin() ? "B" : "qweight"));
}

std::vector<NamedTensor> GptqScheme::save(const Weight& weight, const std::string& module) const {
  if (is_marlin()) return save_marlin(weight, module);
  const std::string prefix = module_prefix(module);
  const std::string what = fmt::format("GPTQ ({})", config_.format);
  const GptqConfig config = config_for(module);
  const int64_t rows = weight.rows(), cols = weight.cols();
  const Weight unsigned_weight = with_unsigned_codes(weight);
  const AffineGroup& packed =
      require_groups(unsigned_weight, prefix + "qweight", what, config.bits);
  if (!fits_gptq(rows, cols, packed.bits)) {
    throw cannot_store(prefix + "qweight", what)
        .expected(fmt::format("rows and columns that fill words of 32 bits"))
        .got(fmt::format("{}, {} bits", to_string(Shape{rows, cols}), packed.bits));
  }
  require_group_size(packed, resolved_group_size(config.group_size, cols), prefix + "qweight",
                     what);
  const GptqZeros form = zeros_of_format(config_.format);
  const std::optional<Tensor> zeros = zero_codes(packed);
  if (!zeros) {
    throw cannot_store(prefix + "qzeros", what).expected("zeros that are codes");
  }
  if (form == GptqZeros::kLessOne &&
      std::ranges::find(zeros->data<uint8_t>(), uint8_t{0}) != zeros->data<uint8_t>().end()) {
    throw cannot_store(prefix + "qzeros", what)
        .expected("zeros from 1 up")
        .got("0, which readers of this format take for different numbers")
        .hint("gptq_v2 stores it");
  }
  const Tensor codes =
      packed.positions.defined()
          ? with_columns_in(ColumnOrder::kOriginal, packed.codes, packed.positions, packed.bits)
          : packed.codes;
  return {{prefix + "qweight", gptq_words(codes)},
          {prefix + "qzeros", gptq_zero_words(*zeros, packed.bits, form)},
          {prefix + "scales", to_dtype(transposed(packed.scales), packed.scale_dtype)},
          {prefix + "g_idx", groups_of_positions(packed.positions, cols, packed.group_size)}};
}

Weight GptqScheme::load_marlin(const Checkpoint& checkpoint, const std::string& module,
                               int64_t rows, int64_t cols, ThreadPool& pool) const {
  return read_marlin(ModuleReader(checkpoint, module), {.words = "B", .scales = "s"}, rows, cols,
                     resolved_group_size(config_for(module).group_size, cols), pool);
}

std::vector<NamedTensor> GptqScheme::save_marlin(const Weight& weight,
                                                 const std::string& module) const {
  return write_marlin(weight, {.words = "B", .scales = "s"}, module_prefix(module),
                      "GPTQ (marlin)");
}

}  // namespace nibble
