// SPDX-License-Identifier: Apache-2.0
//
// Models that hear or see: whisper, vit, clip, blip-2.
#include <nlohmann/json.hpp>
#include <string>

#include "nibble/base/error.h"
#include "nibble/outline/families.h"
#include "nibble/outline/registry.h"

namespace nibble {
namespace {

// The object under `key`, which is a config of its own; all defaults where there is none.
ConfigReader part_of(const FamilyConfig& config, const char* key) {
  static const nlohmann::ordered_json empty = nlohmann::ordered_json::object();
  const nlohmann::ordered_json* object = config.reader().object(key);
  return {object ? *object : empty, config.reader().file(), key};
}

void whisper_attention(const OutlineBuilder& layer, const std::string& name, int64_t hidden) {
  const OutlineBuilder attention = layer.sub(name);
  attention.linear("k_proj", hidden, hidden);
  for (const char* part : {"v_proj", "q_proj", "out_proj"}) {
    attention.linear(part, hidden, hidden, true);
  }
  layer.norm(name + "_layer_norm", hidden, true);
}

void whisper_layers(const OutlineBuilder& stack, int64_t count, int64_t hidden, int64_t inner,
                    bool decoder) {
  for (int64_t i = 0; i < count; ++i) {
    const OutlineBuilder layer = stack.sub("layers").sub(i);
    whisper_attention(layer, "self_attn", hidden);
    if (decoder) whisper_attention(layer, "encoder_attn", hidden);
    layer.linear("fc1", inner, hidden, true);
    layer.linear("fc2", hidden, inner, true);
    layer.norm("final_layer_norm", hidden, true);
  }
  stack.norm("layer_norm", hidden, true);
}

struct VisionSizes {
  int64_t hidden, inner, layers, image, patch, channels;
  int64_t patches() const {
    const int64_t side = image / patch;
    return side * side;
  }
};

VisionSizes read_vision(const FamilyConfig& config, const VisionSizes& defaults) {
  VisionSizes sizes{};
  sizes.hidden = config.size("hidden_size", defaults.hidden);
  sizes.inner = config.size("intermediate_size", defaults.inner);
  sizes.layers = config.count("num_hidden_layers", defaults.layers);
  sizes.image = config.count("image_size", defaults.image);
  sizes.patch = config.count("patch_size", defaults.patch);
  sizes.channels = config.count("num_channels", defaults.channels);
  return sizes;
}

void clip_layers(const OutlineBuilder& encoder, int64_t count, int64_t hidden, int64_t inner) {
  for (int64_t i = 0; i < count; ++i) {
    const OutlineBuilder layer = encoder.sub("layers").sub(i);
    for (const char* name : {"k_proj", "v_proj", "q_proj", "out_proj"}) {
      layer.sub("self_attn").linear(name, hidden, hidden, true);
    }
    layer.norm("layer_norm1", hidden, true);
    layer.sub("mlp").linear("fc1", inner, hidden, true);
    layer.sub("mlp").linear("fc2", hidden, inner, true);
    layer.norm("layer_norm2", hidden, true);
  }
}

int64_t clip_text(const OutlineBuilder& text, const FamilyConfig& config) {
  const int64_t hidden = config.size("hidden_size", 512);
  const int64_t positions = config.size("max_position_embeddings", 77);
  text.embedding("embeddings.token_embedding", config.size("vocab_size", 49408), hidden);
  text.embedding("embeddings.position_embedding", positions, hidden);
  text.buffer("embeddings.position_ids", {1, positions}, DType::kI64);
  clip_layers(text.sub("encoder"), config.count("num_hidden_layers", 12), hidden,
              config.size("intermediate_size", 2048));
  text.norm("final_layer_norm", hidden, true);
  return hidden;
}

int64_t clip_vision(const OutlineBuilder& vision, const FamilyConfig& config) {
  const VisionSizes sizes = read_vision(config, {768, 3072, 12, 224, 32, 3});
  vision.parameter("embeddings.class_embedding", {sizes.hidden});
  vision.conv("embeddings.patch_embedding",
              {sizes.hidden, sizes.channels, sizes.patch, sizes.patch}, false);
  vision.embedding("embeddings.position_embedding", sizes.patches() + 1, sizes.hidden);
  vision.buffer("embeddings.position_ids", {1, sizes.patches() + 1}, DType::kI64);
  vision.norm("pre_layrnorm", sizes.hidden, true);
  clip_layers(vision.sub("encoder"), sizes.layers, sizes.hidden, sizes.inner);
  vision.norm("post_layernorm", sizes.hidden, true);
  return sizes.hidden;
}

void blip2_vision(const OutlineBuilder& vision, const FamilyConfig& config,
                  const VisionSizes& sizes) {
  const int64_t hidden = sizes.hidden;
  vision.parameter("embeddings.class_embedding", {1, 1, hidden});
  vision.parameter("embeddings.position_embedding", {1, sizes.patches() + 1, hidden});
  vision.conv("embeddings.patch_embedding", {hidden, 3, sizes.patch, sizes.patch}, true);
  const bool bias = config.flag("qkv_bias", true);
  for (int64_t i = 0; i < sizes.layers; ++i) {
    const OutlineBuilder layer = vision.sub("encoder").sub("layers").sub(i);
    layer.linear("self_attn.qkv", 3 * hidden, hidden, bias);
    layer.linear("self_attn.projection", hidden, hidden, true);
    layer.norm("layer_norm1", hidden, true);
    layer.linear("mlp.fc1", sizes.inner, hidden, true);
    layer.linear("mlp.fc2", hidden, sizes.inner, true);
    layer.norm("layer_norm2", hidden, true);
  }
  vision.norm("post_layernorm", hidden, true);
}

void qformer_attention(const OutlineBuilder& at, int64_t hidden, int64_t source) {
  at.linear("attention.query", hidden, hidden, true);
  at.linear("attention.key", hidden, source, true);
  at.linear("attention.value", hidden, source, true);
  at.linear("output.dense", hidden, hidden, true);
  at.norm("output.LayerNorm", hidden, true);
}

void blip2_qformer(const OutlineBuilder& qformer, const FamilyConfig& config, int64_t hidden) {
  const int64_t inner = config.size("intermediate_size", 3072);
  const int64_t layers = config.count("num_hidden_layers", 12);
  const int64_t every = config.count("cross_attention_frequency", 2);
  const int64_t source = config.size("encoder_hidden_size", 1408);
  const bool text = config.flag("use_qformer_text_input", false);
  qformer.norm("layernorm", hidden, true);
  for (int64_t i = 0; i < layers; ++i) {
    const OutlineBuilder layer = qformer.sub("encoder").sub("layer").sub(i);
    qformer_attention(layer.sub("attention"), hidden, hidden);
    if (i % every == 0) qformer_attention(layer.sub("crossattention"), hidden, source);
    for (const char* suffix : {"", "_query"}) {
      if (*suffix == '\0' && !text) continue;
      layer.linear(std::string("intermediate") + suffix + ".dense", inner, hidden, true);
      layer.linear(std::string("output") + suffix + ".dense", hidden, inner, true);
      layer.norm(std::string("output") + suffix + ".LayerNorm", hidden, true);
    }
  }
}

}  // namespace

void outline_whisper(const OutlineBuilder& root, const FamilyConfig& config) {
  const bool generates = config.head() == Head::kConditionalGeneration;
  if (!generates && config.head() != Head::kNone) fail_head(config);
  root.outline().main_input = "input_features";
  const int64_t hidden = config.size({"d_model", "hidden_size"}, 384);
  const int64_t vocab = config.size("vocab_size", 51865);
  const OutlineBuilder model = generates ? root.sub("model") : root;
  const OutlineBuilder encoder = model.sub("encoder"), decoder = model.sub("decoder");
  constexpr int64_t kKernel = 3;
  encoder.conv("conv1", {hidden, config.size("num_mel_bins", 80), kKernel}, true);
  encoder.conv("conv2", {hidden, hidden, kKernel}, true);
  encoder.embedding("embed_positions", config.size("max_source_positions", 1500), hidden);
  whisper_layers(encoder, config.count("encoder_layers", 4), hidden,
                 config.size("encoder_ffn_dim", 1536), false);
  decoder.embedding("embed_tokens", vocab, hidden);
  decoder.embedding("embed_positions", config.size("max_target_positions", 448), hidden);
  whisper_layers(decoder, config.count("decoder_layers", 4), hidden,
                 config.size("decoder_ffn_dim", 1536), true);
  if (!generates) return;
  OutlineModule& head = root.linear("proj_out", vocab, hidden);
  if (config.tied()) head.tied_to = decoder.path("embed_tokens.weight");
  root.outline().output_embeddings = root.path("proj_out");
}

void outline_vit(const OutlineBuilder& root, const FamilyConfig& config) {
  if (config.v4()) fail_release(config);
  const bool classifies = config.head() == Head::kImageClassification;
  if (!classifies && config.head() != Head::kNone) fail_head(config);
  root.outline().main_input = "pixel_values";
  const VisionSizes sizes = read_vision(config, {768, 3072, 12, 224, 16, 3});
  const int64_t hidden = sizes.hidden;
  const bool bias = config.flag("qkv_bias", true);
  const OutlineBuilder model = classifies ? root.sub("vit") : root;
  model.parameter("embeddings.cls_token", {1, 1, hidden});
  model.parameter("embeddings.position_embeddings", {1, sizes.patches() + 1, hidden});
  model.conv("embeddings.patch_embeddings.projection",
             {hidden, sizes.channels, sizes.patch, sizes.patch}, true);
  for (int64_t i = 0; i < sizes.layers; ++i) {
    const OutlineBuilder layer = model.sub("layers").sub(i);
    for (const char* name : {"q_proj", "k_proj", "v_proj"}) {
      layer.sub("attention").linear(name, hidden, hidden, bias);
    }
    layer.sub("attention").linear("o_proj", hidden, hidden, true);
    layer.norm("layernorm_before", hidden, true);
    layer.norm("layernorm_after", hidden, true);
    layer.linear("mlp.fc1", sizes.inner, hidden, true);
    layer.linear("mlp.fc2", hidden, sizes.inner, true);
  }
  model.norm("layernorm", hidden, true);
  if (classifies) {
    root.linear("classifier", config.labels(), hidden, true);
  } else {
    model.linear("pooler.dense", config.size("pooler_output_size", hidden), hidden, true);
  }
}

void outline_clip(const OutlineBuilder& root, const FamilyConfig& config) {
  if (config.head() != Head::kNone) fail_head(config);
  const int64_t projection = config.size("projection_dim", 512);
  const ConfigReader text_reader = part_of(config, "text_config");
  const ConfigReader vision_reader = part_of(config, "vision_config");
  root.parameter("logit_scale", {});
  const int64_t text =
      clip_text(root.sub("text_model"), config.part(text_reader, "clip_text_model", Head::kNone));
  const int64_t vision = clip_vision(root.sub("vision_model"),
                                     config.part(vision_reader, "clip_vision_model", Head::kNone));
  root.linear("visual_projection", projection, vision);
  root.linear("text_projection", projection, text);
}

void outline_blip2(const OutlineBuilder& root, const FamilyConfig& config) {
  if (config.head() != Head::kConditionalGeneration) fail_head(config);
  const ConfigReader vision_reader = part_of(config, "vision_config");
  const ConfigReader text_reader = part_of(config, "text_config");
  const ConfigReader qformer_reader = part_of(config, "qformer_config");
  const FamilyConfig vision = config.part(vision_reader, "blip_2_vision_model", Head::kNone);
  const FamilyConfig qformer = config.part(qformer_reader, "blip_2_qformer", Head::kNone);
  const int64_t queries = qformer.size("hidden_size", 768);
  root.parameter("query_tokens", {1, config.size("num_query_tokens", 32), queries});
  blip2_vision(root.sub("vision_model"), vision, read_vision(vision, {1408, 6144, 39, 224, 14, 3}));
  blip2_qformer(root.sub("qformer"), qformer, queries);

  const std::string type = text_reader.string("model_type", "opt");
  const FamilyConfig text =
      config.part(text_reader, type, type == "t5" ? Head::kConditionalGeneration : Head::kCausalLm);
  root.linear("language_projection", text.size({"hidden_size", "d_model"}, 768), queries, true);
  family_of(type, config.reader().file())(root.sub("language_model"), text);
  ModelOutline& outline = root.outline();
  outline.main_input = "pixel_values";
  if (config.v4()) {
    outline.keep_in_fp32 = {"wo"};  // meant for a T5
  } else {
    outline.keep_in_fp32.insert(outline.keep_in_fp32.end(), {"query_tokens", "qformer"});
  }
}

}  // namespace nibble
