// SPDX-License-Identifier: Apache-2.0
#include "nibble/outline/conversion.h"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "nibble/base/error.h"

namespace nibble {
namespace {

using Kind = OutlineModule::Kind;
using SkipList = QuantizationFacts::SkipList;

int64_t numel(const Shape& shape) {
  int64_t count = 1;
  for (const int64_t dim : shape) count *= dim;
  return count;
}

bool lists(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

// "model.layers.31.self_attn.k_proj" is tagged "self_attn.k_proj" by HQQ.
std::string tag_of(std::string_view path) {
  std::string tag;
  while (!path.empty()) {
    const size_t dot = path.find('.');
    const std::string_view part = path.substr(0, dot);
    const bool number =
        std::ranges::all_of(part, [](unsigned char c) { return std::isdigit(c) != 0; });
    if (part != "model" && part != "layers" && !number) {
      if (!tag.empty()) tag += '.';
      tag += part;
    }
    path = dot == std::string_view::npos ? "" : path.substr(dot + 1);
  }
  return tag;
}

// Which modules a quantization converts.
class Selection {
 public:
  Selection(const ModelOutline& outline, QuantizationFacts facts, HfRelease release)
      : facts_(std::move(facts)),
        release_(release),
        skip_modules_(
            modules_to_not_convert(facts_, outline.names(), outline.keep_in_fp32, release)),
        skip_(
            facts_.skip_list == SkipList::kNoAutomatic ? std::vector<std::string>{} : skip_modules_,
            release) {
    if (facts_.skip_list != SkipList::kInsideBlocks) return;
    if (outline.main_input != "input_ids") {
      throw Error("GPTQ quantizes text models only")
          .expected("a model that takes input_ids")
          .got(outline.architecture + ", which takes " + outline.main_input);
    }
    blocks_ = facts_.blocks.value_or(outline.blocks);
    if (blocks_.empty()) {
      throw Error("the decoder blocks that GPTQ quantizes are not known")
          .got(outline.architecture)
          .hint("name their list in block_name_to_quantize");
    }
    blocks_ += '.';
  }

  const std::vector<std::string>& skip_modules() const { return skip_modules_; }

  bool could_convert(const OutlineModule& module) const {
    if (module.kind == Kind::kConv1D) return facts_.converts_conv1d;
    // Release 4 takes subclasses, whatever the method.
    return module.kind == Kind::kLinear &&
           (module.exact_class || facts_.converts_subclasses || release_ == HfRelease::kV4);
  }

  bool converts(const OutlineModule& module) const {
    if (facts_.scheme.empty() || !could_convert(module) || !module.tied_to.empty()) return false;
    switch (facts_.skip_list) {
      case SkipList::kInsideBlocks:
        return inside_blocks(module.path);
      case SkipList::kNoAutomatic: {
        const std::string tag = tag_of(module.path);
        return !lists(skip_modules_, tag) && (!facts_.only || lists(*facts_.only, tag));
      }
      default:
        return !skip_.skips(module.path);
    }
  }

 private:
  bool inside_blocks(std::string_view path) const {
    if (!path.starts_with(blocks_)) return false;
    path.remove_prefix(blocks_.size());
    const size_t dot = path.find('.');
    if (dot == std::string_view::npos) return false;
    return !facts_.only || lists(*facts_.only, path.substr(dot + 1));
  }

  QuantizationFacts facts_;
  HfRelease release_;
  std::vector<std::string> skip_modules_;
  SkipMatcher skip_;
  std::string blocks_;  // with a dot at its end
};

MeasuredModule measure_plain(const OutlineModule& module, DType dtype) {
  MeasuredModule measured;
  measured.dtype = module.dtype.value_or(dtype);
  const int64_t own_weight = module.tied_to.empty() ? numel(module.shape) : 0;
  const int64_t own_bias = module.bias_tied_to.empty() ? module.bias : 0;
  measured.bytes = (own_weight + own_bias) * size_of(measured.dtype);
  if (module.kind != Kind::kBuffer) measured.parameters = own_weight + own_bias;
  return measured;
}

MeasuredModule measure_packed(const OutlineModule& module, DType dtype,
                              const QuantizationConfig& quantization) {
  const bool transposed = module.kind == Kind::kConv1D;
  const PackedSize size =
      packed_size(quantization, module.shape[transposed ? 1 : 0], module.shape[transposed ? 0 : 1]);
  MeasuredModule measured;
  measured.converted = true;
  measured.dtype = dtype;
  const int64_t bias = module.bias_tied_to.empty() ? module.bias : 0;
  measured.bytes = size.bytes + bias * size_of(size.float16_bias ? DType::kF16 : dtype);
  measured.parameters = size.parameters + (size.bias_is_parameter ? bias : 0);
  return measured;
}

}  // namespace

DType plain_dtype(std::optional<DType> asked, std::optional<DType> in_config, bool quantized,
                  HfRelease release) {
  if (asked) return *asked;
  if (quantized && release == HfRelease::kV4) return DType::kF16;
  return in_config.value_or(DType::kF32);
}

MeasuredModel measure(const ModelOutline& outline, DType dtype,
                      const QuantizationConfig* quantization, HfRelease release) {
  const QuantizationFacts facts = quantization ? facts_of(*quantization) : QuantizationFacts{};
  const bool upcasts = facts.skip_list == SkipList::kReplacesAutomatic && quantization != nullptr;
  const bool keep_fp32 = dtype == DType::kF16 || (upcasts && release == HfRelease::kV4);
  std::optional<Selection> selection;
  if (quantization) selection.emplace(outline, facts, release);

  MeasuredModel model;
  if (selection) model.skip_modules = selection->skip_modules();
  for (const OutlineModule& module : outline.modules) {
    const bool could = selection && selection->could_convert(module);
    const bool converts = selection && selection->converts(module);
    const bool fp32 = keep_fp32 && outline.keeps_in_fp32(module.path);
    model.modules.push_back(converts ? measure_packed(module, dtype, *quantization)
                                     : measure_plain(module, fp32 ? DType::kF32 : dtype));
    model.linear_modules += could ? 1 : 0;
    model.converted_modules += converts ? 1 : 0;
    model.parameters += model.modules.back().parameters;
    model.memory_footprint += model.modules.back().bytes;
  }
  return model;
}

}  // namespace nibble
