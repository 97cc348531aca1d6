// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/bpe_json.h"

#include <fmt/format.h>

#include <utility>

#include "nibble/base/error.h"

namespace nibble {
namespace {

namespace dom = simdjson::dom;

Error model_error(const std::string& problem, const std::string& source) {
  return Error("the BPE model " + problem).file(source);
}

bool read_flag(dom::object object, const char* key, const std::string& source) {
  dom::element value;
  if (object.at_key(key).get(value) != simdjson::SUCCESS || value.is_null()) return false;
  bool flag = false;
  if (value.get(flag) != simdjson::SUCCESS) {
    throw model_error(fmt::format("has a \"{}\" that is not true or false", key), source);
  }
  return flag;
}

std::string read_text(dom::object object, const char* key, const std::string& source) {
  dom::element value;
  if (object.at_key(key).get(value) != simdjson::SUCCESS || value.is_null()) return "";
  std::string_view text;
  if (value.get(text) != simdjson::SUCCESS) {
    throw model_error(fmt::format("has a \"{}\" that is no string", key), source);
  }
  return std::string(text);
}

void refuse_dropout(dom::object object, const std::string& source) {
  dom::element value;
  if (object.at_key("dropout").get(value) != simdjson::SUCCESS || value.is_null()) return;
  double dropout = 1;
  if (value.get(dropout) != simdjson::SUCCESS || dropout != 0) {
    throw model_error("has dropout, which makes ids random", source)
        .hint("set \"dropout\" to null to encode without it");
  }
}

Vocabulary read_vocabulary(dom::object object, const std::string& source) {
  dom::object tokens;
  if (object.at_key("vocab").get(tokens) != simdjson::SUCCESS) {
    throw model_error("lacks its \"vocab\"", source);
  }
  int64_t bytes = 0;
  for (auto [token, id] : tokens) bytes += static_cast<int64_t>(token.size());
  Vocabulary vocabulary;
  vocabulary.reserve(static_cast<int64_t>(tokens.size()), bytes);
  for (auto [token, element] : tokens) {
    int64_t id = -1;
    if (element.get(id) != simdjson::SUCCESS || id < 0 || id > kMaxTokenId) {
      throw model_error(fmt::format("gives the token '{}' an id that is none", token), source)
          .expected(fmt::format("0 to {}", kMaxTokenId));
    }
    vocabulary.add(token, static_cast<int32_t>(id));
  }
  return vocabulary;
}

// Turns the spelled merges into ids.
class MergeReader {
 public:
  MergeReader(const Vocabulary& vocabulary, std::string_view prefix, const std::string& source)
      : vocabulary_(vocabulary), prefix_(prefix), source_(source) {}

  MergeTable read(dom::array merges) {
    size_t count = 0;  // array::size() saturates at 2^24
    for ([[maybe_unused]] dom::element merge : merges) ++count;
    MergeTable table(static_cast<int64_t>(count));
    for (dom::element merge : merges) {
      std::string_view spelled;
      if (merge.get(spelled) == simdjson::SUCCESS) {
        if (!spelled.starts_with("#version")) add_spelled(table, spelled);
      } else {
        add_pair(table, merge);
      }
      ++index_;
    }
    return table;
  }

 private:
  [[noreturn]] void fail(const std::string& problem, std::string_view got) const {
    throw model_error(fmt::format("has a merge (number {}) {}", index_, problem), source_)
        .got(std::string(got));
  }

  // The id of the merged token, or -1; `right` loses the continuation prefix.
  int32_t merged(std::string_view left, std::string_view right) {
    if (!right.starts_with(prefix_)) return -1;
    joined_ = left;
    joined_ += right.substr(prefix_.size());
    return vocabulary_.find(joined_);
  }

  bool add(MergeTable& table, std::string_view left, std::string_view right) {
    const int32_t left_id = vocabulary_.find(left), right_id = vocabulary_.find(right);
    const int32_t merged_id = left_id < 0 || right_id < 0 ? -1 : merged(left, right);
    if (merged_id < 0) return false;
    table.add(left_id, right_id, merged_id);
    return true;
  }

  void add_pair(MergeTable& table, dom::element merge) {
    dom::array pair;
    std::string_view left, right;
    if (merge.get(pair) != simdjson::SUCCESS || pair.size() != 2 ||
        pair.at(0).get(left) != simdjson::SUCCESS || pair.at(1).get(right) != simdjson::SUCCESS) {
      fail("that is no pair of tokens", "");
    }
    if (!add(table, left, right)) {
      fail("of tokens that the vocabulary lacks", fmt::format("{} {}", left, right));
    }
  }

  // "left right". Tokens that hold spaces themselves make this ambiguous: the one place to cut
  // where all three tokens exist is taken, which the reference would refuse.
  void add_spelled(MergeTable& table, std::string_view spelled) {
    bool any_space = false;
    for (size_t at = spelled.find(' '); at != std::string_view::npos;
         at = spelled.find(' ', at + 1)) {
      any_space = true;
      if (add(table, spelled.substr(0, at), spelled.substr(at + 1))) return;
    }
    fail(any_space ? "of tokens that the vocabulary lacks" : "that is no pair of tokens", spelled);
  }

  const Vocabulary& vocabulary_;
  std::string_view prefix_;
  const std::string& source_;
  int64_t index_ = 0;
  std::string joined_;
};

}  // namespace

std::unique_ptr<BpeModel> read_bpe_model(dom::object object, const std::string& source) {
  refuse_dropout(object, source);
  BpeOptions options{
      .unk_token = read_text(object, "unk_token", source),
      .continuing_subword_prefix = read_text(object, "continuing_subword_prefix", source),
      .end_of_word_suffix = read_text(object, "end_of_word_suffix", source),
      .fuse_unk = read_flag(object, "fuse_unk", source),
      .byte_fallback = read_flag(object, "byte_fallback", source),
      .ignore_merges = read_flag(object, "ignore_merges", source)};
  Vocabulary vocabulary = read_vocabulary(object, source);
  dom::array merges;
  if (object.at_key("merges").get(merges) != simdjson::SUCCESS) {
    throw model_error("lacks its \"merges\"", source);
  }
  MergeTable table =
      MergeReader(vocabulary, options.continuing_subword_prefix, source).read(merges);
  return std::make_unique<BpeModel>(std::move(vocabulary), std::move(table), std::move(options),
                                    source);
}

}  // namespace nibble
