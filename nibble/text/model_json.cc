// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/model_json.h"

#include <fmt/format.h>

#include <string_view>

#include "nibble/text/bpe_json.h"
#include "nibble/text/model_fields.h"
#include "nibble/text/unigram.h"
#include "nibble/text/word_level.h"
#include "nibble/text/wordpiece.h"

namespace nibble {

namespace dom = simdjson::dom;

ModelType find_model_type(dom::object object, const std::string& source) {
  const auto has = [&](const char* key) {
    dom::element element;
    return object.at_key(key).get(element) == simdjson::SUCCESS;
  };
  std::string_view type;
  if (object.at_key("type").get(type) != simdjson::SUCCESS) {
    dom::array list;
    type = has("merges")                                           ? "BPE"
           : has("max_input_chars_per_word")                       ? "WordPiece"
           : object.at_key("vocab").get(list) == simdjson::SUCCESS ? "Unigram"
           : has("vocab")                                          ? "WordLevel"
                                                                   : "(none)";
  }
  if (type == "BPE") return ModelType::kBpe;
  if (type == "Unigram") return ModelType::kUnigram;
  if (type == "WordPiece") return ModelType::kWordPiece;
  if (type == "WordLevel") return ModelType::kWordLevel;
  throw Error(fmt::format("the model '{}' is not supported", type))
      .file(source)
      .expected("BPE, Unigram, WordPiece or WordLevel");
}

std::unique_ptr<Model> read_model(dom::object object, const std::string& source) {
  switch (find_model_type(object, source)) {
    case ModelType::kBpe:
      return read_bpe_model(object, source);
    case ModelType::kUnigram:
      return std::make_unique<UnigramModel>(ModelFields(object, "Unigram", source));
    case ModelType::kWordPiece:
      return std::make_unique<WordPieceModel>(ModelFields(object, "WordPiece", source));
    case ModelType::kWordLevel:
      return std::make_unique<WordLevelModel>(ModelFields(object, "WordLevel", source));
  }
  throw Error("the model is of no known kind").file(source);
}

}  // namespace nibble
