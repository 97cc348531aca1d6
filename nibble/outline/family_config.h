// SPDX-License-Identifier: Apache-2.0
//
// What the description of a family asks: the numbers of its config.json with transformers' defaults
// and other names for them, the head that the class puts on the body, and the release.
#pragma once

#include <initializer_list>
#include <string>

#include "nibble/io/config_reader.h"
#include "nibble/outline/builder.h"

namespace nibble {

// By the ending of the class's name.
enum class Head {
  kNone,  // "...Model": the bare body
  kCausalLm,
  kMaskedLm,
  kConditionalGeneration,
  kSequenceClassification,
  kTokenClassification,
  kQuestionAnswering,
  kImageClassification,
  kEncoder,  // of an encoder-decoder: "...EncoderModel"
};

class FamilyConfig {
 public:
  // `reader` outlives this.
  FamilyConfig(const ConfigReader& reader, std::string model_type, Head head, HfRelease release)
      : reader_(reader), model_type_(std::move(model_type)), head_(head), release_(release) {}

  // A positive size under the first of these keys that is there and not null.
  int64_t size(std::initializer_list<const char*> keys, int64_t absent) const;
  int64_t size(const char* key, int64_t absent) const { return size({key}, absent); }
  bool flag(const char* key, bool absent) const { return reader_.boolean(key, absent); }
  // Layers and the like, of which a model has at most a few thousand.
  int64_t count(std::initializer_list<const char*> keys, int64_t absent) const;
  int64_t count(const char* key, int64_t absent) const { return count({key}, absent); }

  int64_t labels() const;  // of a classifier: id2label, num_labels, or 2
  bool tied(bool absent = true) const { return flag("tie_word_embeddings", absent); }

  // Dimensions of a head that rotary embeddings turn: partial_rotary_factor where it stands, on its
  // own or under rope_parameters (rope_scaling), or `absent`.
  int64_t rotary_dims(int64_t head_dim, double absent) const;

  const ConfigReader& reader() const { return reader_; }
  const std::string& model_type() const { return model_type_; }
  bool is(const char* model_type) const { return model_type_ == model_type; }
  Head head() const { return head_; }
  bool v4() const { return release_ == HfRelease::kV4; }

  // A part of the config that is a model's config of its own, and the reader for it.
  FamilyConfig part(const ConfigReader& reader, std::string model_type, Head head) const {
    return {reader, std::move(model_type), head, release_};
  }

 private:
  const ConfigReader& reader_;
  std::string model_type_;
  Head head_;
  HfRelease release_;
};

// The frequencies of rotary embeddings, float32: release 5 keeps them once for the model, twice
// over. `name` is that of their module in `holder`.
void rotary_buffers(const OutlineBuilder& holder, int64_t dims);

// The body stands under `name` unless it is the whole model.
OutlineBuilder body_of(const OutlineBuilder& root, const FamilyConfig& config, const char* name);

// The usual heads over a body: lm_head (or `lm_name`), score, qa_outputs. `table` is the full path
// of the embedding; a head that is tied shares it. Throws Error for other heads.
struct HeadOptions {
  std::string table;
  int64_t hidden = 0, vocab = 0;
  bool tied = true;
  bool bias = false;
  const char* name = "lm_head";
};
void add_head(const OutlineBuilder& root, const FamilyConfig& config, const HeadOptions& options);

// The class, or the tree under release 4, is not described.
[[noreturn]] void fail_head(const FamilyConfig& config);
[[noreturn]] void fail_release(const FamilyConfig& config);

}  // namespace nibble
