// SPDX-License-Identifier: Apache-2.0
//
// Models with an encoder for text: t5, bert, roberta.
#include <string>

#include "nibble/base/error.h"
#include "nibble/outline/families.h"

namespace nibble {
namespace {

struct T5Sizes {
  int64_t vocab, width, inner, heads, key, buckets;
  bool gated;
};

T5Sizes read_t5(const FamilyConfig& config) {
  T5Sizes sizes{};
  sizes.vocab = config.size("vocab_size", 32128);
  sizes.width = config.size({"d_model", "hidden_size"}, 512);
  sizes.inner = config.size("d_ff", 2048);
  sizes.heads = config.size({"num_heads", "num_attention_heads"}, 8);
  sizes.key = config.size("d_kv", 64);
  sizes.buckets = config.size("relative_attention_num_buckets", 32);
  sizes.gated = config.reader().string("feed_forward_proj", "relu").starts_with("gated");
  return sizes;
}

void t5_attention(const OutlineBuilder& layer, const char* name, const T5Sizes& sizes) {
  const OutlineBuilder attention = layer.sub(name);
  const int64_t inner = sizes.heads * sizes.key;
  for (const char* part : {"q", "k", "v"}) attention.linear(part, inner, sizes.width);
  attention.linear("o", sizes.width, inner);
}

void t5_stack(const OutlineBuilder& root, const char* name, int64_t blocks, bool decoder,
              const T5Sizes& sizes) {
  const OutlineBuilder stack = root.sub(name);
  stack.embedding("embed_tokens", sizes.vocab, sizes.width).tied_to = root.path("shared.weight");
  for (int64_t i = 0; i < blocks; ++i) {
    const OutlineBuilder layers = stack.sub("block").sub(i).sub("layer");
    t5_attention(layers.sub("0"), "SelfAttention", sizes);
    if (i == 0) {  // shared by the blocks after it
      layers.embedding("0.SelfAttention.relative_attention_bias", sizes.buckets, sizes.heads);
    }
    layers.norm("0.layer_norm", sizes.width, false);
    if (decoder) {
      t5_attention(layers.sub("1"), "EncDecAttention", sizes);
      layers.norm("1.layer_norm", sizes.width, false);
    }
    const OutlineBuilder last = layers.sub(decoder ? "2" : "1");
    const OutlineBuilder dense = last.sub("DenseReluDense");
    if (sizes.gated) {
      dense.linear("wi_0", sizes.inner, sizes.width);
      dense.linear("wi_1", sizes.inner, sizes.width);
    } else {
      dense.linear("wi", sizes.inner, sizes.width);
    }
    dense.linear("wo", sizes.width, sizes.inner);
    last.norm("layer_norm", sizes.width, false);
  }
  stack.norm("final_layer_norm", sizes.width, false);
}

void bert_embeddings(const OutlineBuilder& at, const FamilyConfig& config, int64_t hidden,
                     int64_t vocab) {
  const int64_t positions = config.size("max_position_embeddings", 512);
  at.embedding("word_embeddings", vocab, hidden);
  // roberta registers its positions after all others.
  const bool late = config.is("roberta") && !config.v4();
  if (!late) at.embedding("position_embeddings", positions, hidden);
  at.embedding("token_type_embeddings", config.size("type_vocab_size", 2), hidden);
  at.norm("LayerNorm", hidden, true);
  if (late) at.embedding("position_embeddings", positions, hidden);
  at.buffer("position_ids", {1, positions}, DType::kI64);
  at.buffer("token_type_ids", {1, positions}, DType::kI64);
}

// The head for masked words: its matrix and its bias are both tied, the bias under release 4 even
// where the config unties the matrix.
void bert_words(const OutlineBuilder& root, const FamilyConfig& config, const std::string& table,
                int64_t hidden, int64_t vocab) {
  const bool roberta = config.is("roberta");
  const OutlineBuilder head = roberta ? root.sub("lm_head") : root.sub("cls").sub("predictions");
  head.parameter("bias", {vocab});
  head.linear(roberta ? "dense" : "transform.dense", hidden, hidden, true);
  head.norm(roberta ? "layer_norm" : "transform.LayerNorm", hidden, true);
  OutlineModule& decoder = head.linear("decoder", vocab, hidden, true);
  if (config.tied()) decoder.tied_to = table + ".weight";
  if (config.tied() || config.v4()) decoder.bias_tied_to = head.path("bias");
  root.outline().output_embeddings = head.path("decoder");
}

void bert_head(const OutlineBuilder& root, const FamilyConfig& config, const std::string& table,
               int64_t hidden, int64_t vocab) {
  switch (config.head()) {
    case Head::kNone:
      return;
    case Head::kMaskedLm:
    case Head::kCausalLm:
      return bert_words(root, config, table, hidden, vocab);
    case Head::kSequenceClassification:
      if (config.is("roberta")) {
        root.linear("classifier.dense", hidden, hidden, true);
        root.linear("classifier.out_proj", config.labels(), hidden, true);
      } else {
        root.linear("classifier", config.labels(), hidden, true);
      }
      return;
    case Head::kTokenClassification:
      root.linear("classifier", config.labels(), hidden, true);
      return;
    case Head::kQuestionAnswering:
      root.linear("qa_outputs", config.labels(), hidden, true);
      return;
    default:
      fail_head(config);
  }
}

}  // namespace

void outline_t5(const OutlineBuilder& root, const FamilyConfig& config) {
  const T5Sizes sizes = read_t5(config);
  const int64_t encoder = config.count({"num_layers", "num_hidden_layers"}, 6);
  const int64_t decoder = config.count("num_decoder_layers", encoder);
  const bool generates = config.head() == Head::kConditionalGeneration;
  const bool encoder_only = config.head() == Head::kEncoder;
  if (!generates && !encoder_only && config.head() != Head::kNone) fail_head(config);
  root.embedding("shared", sizes.vocab, sizes.width);
  t5_stack(root, "encoder", encoder, false, sizes);
  if (!encoder_only) t5_stack(root, "decoder", decoder, true, sizes);
  if (generates) {
    OutlineModule& head = root.linear("lm_head", sizes.vocab, sizes.width);
    // Release 5 shares it whatever the config says, which then is about a factor on the logits.
    if (!config.v4() || config.tied()) head.tied_to = root.path("shared.weight");
    root.outline().output_embeddings = root.path("lm_head");
  }
  root.outline().keep_in_fp32 = {"wo"};
}

void outline_bert(const OutlineBuilder& root, const FamilyConfig& config) {
  const bool roberta = config.is("roberta");
  const int64_t vocab = config.size("vocab_size", roberta ? 50265 : 30522);
  const int64_t hidden = config.size("hidden_size", 768);
  const int64_t inner = config.size("intermediate_size", 3072);
  const int64_t layers = config.count("num_hidden_layers", 12);
  const bool bare = config.head() == Head::kNone;
  const OutlineBuilder model = bare ? root : root.sub(roberta ? "roberta" : "bert");
  bert_embeddings(model.sub("embeddings"), config, hidden, vocab);
  for (int64_t i = 0; i < layers; ++i) {
    const OutlineBuilder layer = model.sub("encoder").sub("layer").sub(i);
    for (const char* name : {"query", "key", "value"}) {
      layer.sub("attention").sub("self").linear(name, hidden, hidden, true);
    }
    layer.linear("attention.output.dense", hidden, hidden, true);
    layer.norm("attention.output.LayerNorm", hidden, true);
    layer.linear("intermediate.dense", inner, hidden, true);
    layer.linear("output.dense", hidden, inner, true);
    layer.norm("output.LayerNorm", hidden, true);
  }
  const bool pooler = bare || (!roberta && config.head() == Head::kSequenceClassification);
  if (pooler) model.linear("pooler.dense", hidden, hidden, true);
  bert_head(root, config, model.path("embeddings.word_embeddings"), hidden, vocab);
}

}  // namespace nibble
