// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/unigram.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "nibble/base/utf8.h"
#include "nibble/text/caching_encoder.h"

namespace nibble {
namespace {

namespace dom = simdjson::dom;

// How much worse than the worst piece an unknown character is; a constant of SentencePiece.
constexpr double kUnkPenalty = 10;

}  // namespace

UnigramModel::UnigramModel(const ModelFields& fields) {
  const auto list = fields.find("vocab");
  dom::array pieces;
  if (!list.has_value() || list->get(pieces) != simdjson::SUCCESS) {
    throw fields.error("lacks its \"vocab\", a list of pieces and scores");
  }
  std::vector<std::pair<std::string_view, int32_t>> entries;  // the texts belong to the parser
  double lowest = std::numeric_limits<double>::infinity();
  int64_t bytes = 0;
  for (dom::element element : pieces) {
    dom::array pair;
    std::string_view piece;
    double score = 0;
    if (element.get(pair) != simdjson::SUCCESS || pair.size() != 2 ||
        pair.at(0).get(piece) != simdjson::SUCCESS || pair.at(1).get(score) != simdjson::SUCCESS) {
      throw fields.error(
          fmt::format("has a piece (number {}) that is no [text, score]", entries.size()));
    }
    if (entries.size() > static_cast<size_t>(kMaxTokenId)) {
      throw fields.error("has too many pieces").expected(fmt::format("at most {}", kMaxTokenId));
    }
    entries.emplace_back(piece, static_cast<int32_t>(entries.size()));
    scores_.push_back(score);
    lowest = std::min(lowest, score);
    bytes += static_cast<int64_t>(piece.size());
  }
  vocabulary_.reserve(static_cast<int64_t>(entries.size()), bytes);
  for (const auto& [piece, id] : entries) vocabulary_.add(piece, id);
  trie_ = std::make_unique<const PrefixTrie>(std::move(entries));
  cache_ = std::make_unique<WordCache>(vocabulary_.size());
  unk_score_ = lowest - kUnkPenalty;
  if (const auto unk = fields.count("unk_id")) {
    if (*unk >= static_cast<int64_t>(scores_.size())) {
      throw fields.error("has an unk_id that no piece has").got(std::to_string(*unk));
    }
    unk_id_ = static_cast<int32_t>(*unk);
  }
  if (fields.flag("byte_fallback").value_or(false)) {
    for (int byte = 0; byte < 256; ++byte) {
      byte_ids_.push_back(vocabulary_.find(fmt::format("<0x{:02X}>", byte)));
    }
  }
}

class UnigramModel::Encoder : public CachingEncoder {
 public:
  explicit Encoder(const UnigramModel& model) : CachingEncoder(*model.cache_), model_(model) {}

 private:
  void encode_new(std::string_view word, std::vector<int32_t>& ids) override {
    find_best_path(word);
    append_path(word, ids);
  }

  static constexpr uint32_t kUnreached = UINT32_MAX;
  // The best way from the word's start to one byte offset.
  struct Stop {
    double score;
    int32_t id;      // of the last piece
    uint32_t begin;  // where that piece starts; kUnreached before any
  };

  void find_best_path(std::string_view word) {
    if (word.size() >= kUnreached) throw Error("a word above 4 GiB cannot be encoded");
    const PrefixTrie& trie = *model_.trie_;
    stops_.assign(word.size() + 1, Stop{0, 0, kUnreached});
    for (size_t begin = 0; begin < word.size();) {
      const double score = stops_[begin].score;
      const size_t character_end = begin + utf8_length(word[begin]);
      const auto wins = [&](size_t end, double total) {
        return stops_[end].begin == kUnreached || total > stops_[end].score;
      };
      bool has_character = false;
      int32_t node = PrefixTrie::kRoot;
      for (size_t end = begin; end < word.size();) {
        node = trie.step(node, word[end++]);
        if (node == PrefixTrie::kNone) break;
        const int32_t id = trie.value(node);
        if (id == PrefixTrie::kNone) continue;
        const double total = model_.scores_[static_cast<size_t>(id)] + score;
        if (wins(end, total)) stops_[end] = {total, id, static_cast<uint32_t>(begin)};
        has_character |= end == character_end;
      }
      const double unknown = model_.unk_score_ + score;
      if (!has_character && wins(character_end, unknown)) {
        if (model_.unk_id_ < 0) {
          throw Error("the Unigram model meets an unknown character and has no unk_id")
              .got(std::string(word.substr(begin, character_end - begin)));
        }
        stops_[character_end] = {unknown, model_.unk_id_, static_cast<uint32_t>(begin)};
      }
      begin = character_end;
    }
  }

  // The pieces from the end to the start, neighbouring unknown ones as one.
  void append_path(std::string_view word, std::vector<int32_t>& ids) {
    parts_.clear();
    size_t unknown_end = 0;  // where the current run of unknown pieces ends; 0 for none
    for (size_t end = word.size(); end > 0;) {
      const Stop& stop = stops_[end];
      if (stop.id == model_.unk_id_) {
        if (unknown_end == 0) unknown_end = end;
      } else {
        if (unknown_end != 0) parts_.push_back({end, unknown_end, -1});
        unknown_end = 0;
        parts_.push_back({stop.begin, end, stop.id});
      }
      end = stop.begin;
    }
    if (unknown_end != 0) parts_.push_back({0, unknown_end, -1});
    for (auto part = parts_.rbegin(); part != parts_.rend(); ++part) {
      if (part->id >= 0) {
        ids.push_back(part->id);
      } else {
        append_unknown(word.substr(part->begin, part->end - part->begin), ids);
      }
    }
  }

  // A run of unknown pieces may be a piece itself, where scores are above 0.
  void append_unknown(std::string_view run, std::vector<int32_t>& ids) const {
    if (const int32_t id = model_.vocabulary_.find(run); id >= 0) {
      ids.push_back(id);
      return;
    }
    const auto& bytes = model_.byte_ids_;
    const auto id_of = [&](char c) { return bytes[static_cast<uint8_t>(c)]; };
    if (bytes.empty() ||
        std::any_of(run.begin(), run.end(), [&](char c) { return id_of(c) < 0; })) {
      ids.push_back(model_.unk_id_);
      return;
    }
    for (char c : run) ids.push_back(id_of(c));
  }

  struct Part {
    size_t begin, end;
    int32_t id;  // -1: unknown
  };

  const UnigramModel& model_;
  std::vector<Stop> stops_;
  std::vector<Part> parts_;
};

std::unique_ptr<WordEncoder> UnigramModel::start() const {
  return std::make_unique<Encoder>(*this);
}

}  // namespace nibble
