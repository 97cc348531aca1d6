// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/bpe_json.h"

#include <fmt/format.h>

#include <utility>

#include "nibble/text/model_fields.h"

namespace nibble {
namespace {

namespace dom = simdjson::dom;

void refuse_dropout(const ModelFields& fields) {
  auto value = fields.find("dropout");
  if (!value.has_value()) return;
  double dropout = 1;
  if (value->get(dropout) != simdjson::SUCCESS || dropout != 0) {
    throw fields.error("has dropout, which makes ids random")
        .hint("set \"dropout\" to null to encode without it");
  }
}

// Turns the spelled merges into ids.
class MergeReader {
 public:
  MergeReader(const Vocabulary& vocabulary, std::string_view prefix, const ModelFields& fields)
      : vocabulary_(vocabulary), prefix_(prefix), fields_(fields) {}

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
    throw fields_.error(fmt::format("has a merge (number {}) {}", index_, problem))
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
  const ModelFields& fields_;
  int64_t index_ = 0;
  std::string joined_;
};

}  // namespace

std::unique_ptr<BpeModel> read_bpe_model(dom::object object, const std::string& source) {
  const ModelFields fields(object, "BPE", source);
  refuse_dropout(fields);
  BpeOptions options{
      .unk_token = fields.text("unk_token").value_or(""),
      .continuing_subword_prefix = fields.text("continuing_subword_prefix").value_or(""),
      .end_of_word_suffix = fields.text("end_of_word_suffix").value_or(""),
      .fuse_unk = fields.flag("fuse_unk").value_or(false),
      .byte_fallback = fields.flag("byte_fallback").value_or(false),
      .ignore_merges = fields.flag("ignore_merges").value_or(false)};
  Vocabulary vocabulary = fields.vocabulary();
  dom::array merges;
  if (object.at_key("merges").get(merges) != simdjson::SUCCESS) {
    throw fields.error("lacks its \"merges\"");
  }
  MergeTable table =
      MergeReader(vocabulary, options.continuing_subword_prefix, fields).read(merges);
  return std::make_unique<BpeModel>(std::move(vocabulary), std::move(table), std::move(options),
                                    source);
}

}  // namespace nibble
