// SPDX-License-Identifier: Apache-2.0
#include "nibble/outline/registry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "nibble/base/error.h"
#include "nibble/outline/families.h"

namespace nibble {
namespace {

struct Entry {
  const char* model_type;
  const char* architecture;  // when the config names none
  OutlineFamily family;
};

constexpr std::array<Entry, 26> kFamilies = {{
    {"bert", "BertForMaskedLM", outline_bert},
    {"blip-2", "Blip2ForConditionalGeneration", outline_blip2},
    {"bloom", "BloomForCausalLM", outline_bloom},
    {"clip", "CLIPModel", outline_clip},
    {"falcon", "FalconForCausalLM", outline_falcon},
    {"gemma", "GemmaForCausalLM", outline_llama},
    {"gemma2", "Gemma2ForCausalLM", outline_llama},
    {"gemma3_text", "Gemma3ForCausalLM", outline_llama},
    {"gpt2", "GPT2LMHeadModel", outline_gpt2},
    {"gpt_bigcode", "GPTBigCodeForCausalLM", outline_gpt2},
    {"gpt_neo", "GPTNeoForCausalLM", outline_gpt_neo},
    {"gpt_neox", "GPTNeoXForCausalLM", outline_gpt_neox},
    {"gptj", "GPTJForCausalLM", outline_gptj},
    {"llama", "LlamaForCausalLM", outline_llama},
    {"mistral", "MistralForCausalLM", outline_llama},
    {"mixtral", "MixtralForCausalLM", outline_llama},
    {"mpt", "MptForCausalLM", outline_mpt},
    {"opt", "OPTForCausalLM", outline_opt},
    {"phi", "PhiForCausalLM", outline_phi},
    {"phi3", "Phi3ForCausalLM", outline_llama},
    {"qwen2", "Qwen2ForCausalLM", outline_llama},
    {"qwen3", "Qwen3ForCausalLM", outline_llama},
    {"roberta", "RobertaForMaskedLM", outline_bert},
    {"t5", "T5ForConditionalGeneration", outline_t5},
    {"vit", "ViTForImageClassification", outline_vit},
    {"whisper", "WhisperForConditionalGeneration", outline_whisper},
}};

const Entry& entry_of(const std::string& model_type, const std::string& file) {
  for (const Entry& entry : kFamilies) {
    if (model_type == entry.model_type) return entry;
  }
  throw Error("the modules of this model_type are not described")
      .file(file)
      .expected(fmt::format("one of {}", fmt::join(outlined_model_types(), ", ")))
      .got(model_type);
}

struct Ending {
  std::string_view text;
  Head head;
};

// Longer endings before those that end them.
constexpr std::array<Ending, 10> kEndings = {{
    {"ForCausalLM", Head::kCausalLm},
    {"LMHeadModel", Head::kCausalLm},
    {"ForMaskedLM", Head::kMaskedLm},
    {"ForConditionalGeneration", Head::kConditionalGeneration},
    {"ForSequenceClassification", Head::kSequenceClassification},
    {"ForTokenClassification", Head::kTokenClassification},
    {"ForQuestionAnswering", Head::kQuestionAnswering},
    {"ForImageClassification", Head::kImageClassification},
    {"EncoderModel", Head::kEncoder},
    {"Model", Head::kNone},
}};

Head head_of(const std::string& architecture, const std::string& file) {
  // GPT-2's with a second head ends as a bare model does.
  const bool two_heads = architecture.ends_with("DoubleHeadsModel");
  for (const Ending& ending : kEndings) {
    if (!two_heads && architecture.ends_with(ending.text)) return ending.head;
  }
  throw Error("this class of model is not described")
      .file(file)
      .expected("...ForCausalLM, ...Model or the like")
      .got(architecture);
}

}  // namespace

OutlineFamily family_of(const std::string& model_type, const std::string& file) {
  return entry_of(model_type, file).family;
}

std::vector<std::string> outlined_model_types() {
  std::vector<std::string> types;
  for (const Entry& entry : kFamilies) types.emplace_back(entry.model_type);
  return types;
}

ModelOutline outline_of(const nlohmann::ordered_json& config, const std::string& file,
                        HfRelease release) {
  if (!config.is_object()) {
    throw Error("not a model config")
        .file(file)
        .expected("a JSON object")
        .got(std::string(config.type_name()));
  }
  const ConfigReader reader(config, file);
  if (!reader.has("model_type")) reader.fail_missing("model_type");
  ModelOutline outline;
  outline.model_type = reader.string("model_type", "");
  const Entry& entry = entry_of(outline.model_type, file);
  const std::vector<std::string> classes = reader.strings("architectures");
  outline.architecture = classes.empty() ? entry.architecture : classes.front();
  const Head head = head_of(outline.architecture, file);
  try {
    entry.family(OutlineBuilder(outline), FamilyConfig(reader, outline.model_type, head, release));
  } catch (Error& error) {
    if (!error.has_file()) error.file(file);
    throw;
  }
  return outline;
}

}  // namespace nibble
