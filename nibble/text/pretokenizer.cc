// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/pretokenizer.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "nibble/base/utf8.h"
#include "nibble/text/byte_level.h"
#include "nibble/text/component_config.h"
#include "nibble/text/metaspace.h"
#include "nibble/text/reference_unicode.h"
#include "nibble/text/regex.h"
#include "nibble/text/split.h"
#include "nibble/text/word_split.h"

namespace nibble {
namespace {

// Cuts at the matches of `regex`; with `invert` the text between them counts as the matches.
void split_by_regex(PreTokenized& input, const Regex& regex, SplitBehavior behavior, bool invert) {
  RegexScan scan(regex);
  split_pieces(input, behavior, [&](std::string_view text, std::vector<Span>& spans) {
    size_t done = 0;
    scan.start(text);
    for (size_t begin = 0, end = 0; scan.next(begin, end); done = end) {
      if (done != begin) spans.push_back({done, begin, invert});
      spans.push_back({begin, end, !invert});
    }
    if (done != text.size()) spans.push_back({done, text.size(), invert});
  });
}

class ByteLevel : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, bool use_regex, const std::string& source)
      : add_prefix_space_(add_prefix_space) {
    if (use_regex) regex_ = Regex::compile(kGpt2Pattern, source);
  }

  void apply(PreTokenized& input) const override {
    if (add_prefix_space_) {
      input.rewrite([](std::string& out, std::string_view text, const Piece&) {
        if (!text.starts_with(' ')) out += ' ';
        out += text;
      });
    }
    if (regex_.has_value()) split_by_regex(input, *regex_, SplitBehavior::kIsolated, false);
    input.rewrite([](std::string& out, std::string_view text, const Piece&) {
      append_byte_level(out, text);
    });
  }

 private:
  bool add_prefix_space_;
  std::optional<Regex> regex_;
};

class Split : public PreTokenizer {
 public:
  Split(Regex regex, SplitBehavior behavior, bool invert)
      : regex_(std::move(regex)), behavior_(behavior), invert_(invert) {}

  void apply(PreTokenized& input) const override {
    split_by_regex(input, regex_, behavior_, invert_);
  }

 private:
  Regex regex_;
  SplitBehavior behavior_;
  bool invert_;
};

// Digits, Punctuation, WhitespaceSplit and CharDelimiterSplit: cut at each character of a class.
template <class Predicate>
class CharacterSplit : public PreTokenizer {
 public:
  CharacterSplit(Predicate is_match, SplitBehavior behavior)
      : is_match_(std::move(is_match)), behavior_(behavior) {}

  void apply(PreTokenized& input) const override {
    split_pieces(input, behavior_, [&](std::string_view text, std::vector<Span>& spans) {
      find_characters(text, spans, is_match_);
    });
  }

 private:
  Predicate is_match_;
  SplitBehavior behavior_;
};

template <class Predicate>
std::unique_ptr<PreTokenizer> split_characters(Predicate is_match, SplitBehavior behavior) {
  return std::make_unique<CharacterSplit<Predicate>>(std::move(is_match), behavior);
}

// Keeps the runs of word characters and the runs of other visible characters.
class Whitespace : public PreTokenizer {
 public:
  void apply(PreTokenized& input) const override {
    split_pieces(input, SplitBehavior::kRemoved,
                 [](std::string_view text, std::vector<Span>& spans) {
                   Kind previous = Kind::kSpace;
                   for (size_t at = 0; at < text.size();) {
                     const size_t begin = at;
                     const Kind kind = kind_of(next_code_point(text, at));
                     if (begin > 0 && kind == previous) {
                       spans.back().end = at;
                     } else {
                       spans.push_back({begin, at, kind == Kind::kSpace});
                     }
                     previous = kind;
                   }
                 });
  }

 private:
  enum class Kind { kSpace, kWord, kOther };
  static Kind kind_of(char32_t c) {
    return is_word_v16(c) ? Kind::kWord : is_whitespace(c) ? Kind::kSpace : Kind::kOther;
  }
};

class MetaspaceSplit : public PreTokenizer {
 public:
  explicit MetaspaceSplit(Metaspace settings) : settings_(std::move(settings)) {}

  void apply(PreTokenized& input) const override {
    const std::string& mark = settings_.replacement;
    input.rewrite([&](std::string& out, std::string_view text, const Piece& piece) {
      const bool wanted = settings_.prepend == Metaspace::Prepend::kAlways ||
                          (settings_.prepend == Metaspace::Prepend::kFirst && piece.at_start);
      if (wanted && !text.starts_with(' ') && !text.starts_with(mark)) out += mark;
      for (char c : text) {
        if (c == ' ') {
          out += mark;
        } else {
          out += c;
        }
      }
    });
    if (!settings_.split) return;
    size_t at = 0;
    const char32_t code = next_code_point(mark, at);
    split_pieces(input, SplitBehavior::kMergedWithNext,
                 [&](std::string_view text, std::vector<Span>& spans) {
                   find_characters(text, spans, [&](char32_t c) { return c == code; });
                 });
  }

 private:
  Metaspace settings_;
};

class PreTokenizerSequence : public PreTokenizer {
 public:
  explicit PreTokenizerSequence(std::vector<std::unique_ptr<PreTokenizer>> steps)
      : steps_(std::move(steps)) {}
  void apply(PreTokenized& input) const override {
    for (const auto& step : steps_) step->apply(input);
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

std::unique_ptr<PreTokenizer> make_split(const ComponentConfig& config) {
  const TextPattern pattern = read_pattern(config);
  Regex regex = pattern.is_regex ? Regex::compile(pattern.text, config.source())
                                 : Regex::literal(pattern.text, config.source());
  return std::make_unique<Split>(std::move(regex),
                                 parse_split_behavior(config.text("behavior"), config.source()),
                                 config.flag("invert"));
}

}  // namespace

std::unique_ptr<PreTokenizer> make_pre_tokenizer(const nlohmann::json& object,
                                                 const std::string& source) {
  const ComponentConfig config(object, "pre_tokenizer", source);
  const std::string& type = config.type();
  if (type == "ByteLevel") {
    return std::make_unique<ByteLevel>(config.flag("add_prefix_space"),
                                       config.flag_or("use_regex", true), source);
  }
  if (type == "Split") return make_split(config);
  if (type == "Digits") {
    return split_characters(CharClass(is_numeric_v17), config.flag("individual_digits")
                                                           ? SplitBehavior::kIsolated
                                                           : SplitBehavior::kContiguous);
  }
  if (type == "Punctuation") {
    return split_characters(CharClass(is_punctuation_v8),
                            parse_split_behavior(config.text_or("behavior", "Isolated"), source));
  }
  // The library names the class in its files and reads the short name, too, in some versions.
  if (type == "CharDelimiterSplit" || type == "Delimiter") {
    const char32_t delimiter = config.character("delimiter");
    return split_characters([delimiter](char32_t c) { return c == delimiter; },
                            SplitBehavior::kRemoved);
  }
  if (type == "BertPreTokenizer") return std::make_unique<BertPreTokenizer>();
  if (type == "UnicodeScripts") return std::make_unique<UnicodeScripts>();
  if (type == "FixedLength") {
    const int64_t length = config.has("length") ? config.count("length") : 5;
    if (length == 0) throw config.error("has the length 0");
    return std::make_unique<FixedLength>(length);
  }
  if (type == "Metaspace") return std::make_unique<MetaspaceSplit>(Metaspace(config));
  if (type == "Whitespace") return std::make_unique<Whitespace>();
  if (type == "WhitespaceSplit") {
    return split_characters(CharClass(is_whitespace), SplitBehavior::kRemoved);
  }
  if (type == "Sequence") {
    std::vector<std::unique_ptr<PreTokenizer>> steps;
    for (const auto& step : config.list("pretokenizers")) {
      steps.push_back(make_pre_tokenizer(step, source));
    }
    return std::make_unique<PreTokenizerSequence>(std::move(steps));
  }
  throw config.unsupported();
}

}  // namespace nibble
