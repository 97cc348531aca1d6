// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/word_level.h"

namespace nibble {

WordLevelModel::WordLevelModel(const ModelFields& fields)
    : vocabulary_(fields.vocabulary()),
      unk_token_(fields.required_text("unk_token")),
      unk_id_(vocabulary_.find(unk_token_)) {}

class WordLevelModel::Encoder : public WordEncoder {
 public:
  explicit Encoder(const WordLevelModel& model) : model_(model) {}

  void encode(std::string_view word, std::vector<int32_t>& ids) override {
    int32_t id = model_.vocabulary_.find(word);
    if (id < 0) id = model_.unk_id_;
    if (id < 0) {
      throw Error("the WordLevel model meets an unknown word and lacks its unk_token")
          .expected(model_.unk_token_)
          .got(std::string(word));
    }
    ids.push_back(id);
  }

 private:
  const WordLevelModel& model_;
};

std::unique_ptr<WordEncoder> WordLevelModel::start() const {
  return std::make_unique<Encoder>(*this);
}

}  // namespace nibble
