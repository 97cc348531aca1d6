// SPDX-License-Identifier: Apache-2.0
#include "nibble/outline/family_config.h"

#include <nlohmann/json.hpp>

#include "nibble/base/error.h"

namespace nibble {
namespace {

constexpr int64_t kMostSize = int64_t{1} << 28;  // a few times the product of two stays in 63 bits
constexpr int64_t kMostCount = 4096;
constexpr int64_t kDefaultLabels = 2;

int64_t first_of(const ConfigReader& reader, std::initializer_list<const char*> keys, int64_t most,
                 int64_t absent) {
  for (const char* key : keys) {
    if (reader.has(key)) return reader.integer(key, 1, most);
  }
  return absent;
}

}  // namespace

int64_t FamilyConfig::size(std::initializer_list<const char*> keys, int64_t absent) const {
  return first_of(reader_, keys, kMostSize, absent);
}

int64_t FamilyConfig::count(std::initializer_list<const char*> keys, int64_t absent) const {
  return first_of(reader_, keys, kMostCount, absent);
}

int64_t FamilyConfig::labels() const {
  if (const nlohmann::ordered_json* names = reader_.object("id2label")) {
    return static_cast<int64_t>(names->size());
  }
  return size("num_labels", kDefaultLabels);
}

int64_t FamilyConfig::rotary_dims(int64_t head_dim, double absent) const {
  double factor = reader_.number("partial_rotary_factor", absent);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (const nlohmann::ordered_json* rope = reader_.object(key)) {
      factor = ConfigReader(*rope, reader_.file(), key).number("partial_rotary_factor", factor);
    }
  }
  if (!(factor > 0 && factor <= 1)) reader_.fail("partial_rotary_factor", "a number up to 1");
  return static_cast<int64_t>(static_cast<double>(head_dim) * factor);
}

void rotary_buffers(const OutlineBuilder& holder, int64_t dims) {
  const int64_t pairs = (dims + 1) / 2;
  holder.buffer("rotary_emb.inv_freq", {pairs}, DType::kF32);
  holder.buffer("rotary_emb.original_inv_freq", {pairs}, DType::kF32);
}

OutlineBuilder body_of(const OutlineBuilder& root, const FamilyConfig& config, const char* name) {
  return config.head() == Head::kNone ? root : root.sub(name);
}

void add_head(const OutlineBuilder& root, const FamilyConfig& config, const HeadOptions& options) {
  switch (config.head()) {
    case Head::kNone:
      return;
    case Head::kCausalLm: {
      OutlineModule& head = root.linear(options.name, options.vocab, options.hidden, options.bias);
      if (options.tied) head.tied_to = options.table + ".weight";
      root.outline().output_embeddings = root.path(options.name);
      return;
    }
    case Head::kSequenceClassification:
      root.linear("score", config.labels(), options.hidden, false);
      return;
    case Head::kTokenClassification:
      root.linear("score", config.labels(), options.hidden, true);
      return;
    case Head::kQuestionAnswering:
      root.linear("qa_outputs", 2, options.hidden, true);
      return;
    default:
      fail_head(config);
  }
}

void fail_head(const FamilyConfig& config) {
  throw Error("this class is not described for its model_type")
      .file(config.reader().file())
      .got("model_type " + config.model_type());
}

void fail_release(const FamilyConfig& config) {
  throw Error("the modules under release 4 of transformers are not described")
      .file(config.reader().file())
      .got("model_type " + config.model_type());
}

}  // namespace nibble
