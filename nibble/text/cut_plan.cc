// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/cut_plan.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "nibble/base/utf8.h"
#include "nibble/text/component_config.h"
#include "nibble/text/pretokenizer.h"
#include "nibble/text/regex.h"
#include "nibble/text/split.h"

namespace nibble {
namespace {

class WholeText : public WordScanner {
 public:
  void scan(std::string_view, TextSpan part, WordSink& sink) const override {
    if (part.begin != part.end) sink.add(part.begin, part.end);
  }
};

// The matches of any regular expression, the text between them, or both.
class RegexCuts : public WordScanner {
 public:
  RegexCuts(Regex regex, bool keep_matches, bool keep_gaps)
      : regex_(std::move(regex)), keep_matches_(keep_matches), keep_gaps_(keep_gaps) {}

  void scan(std::string_view text, TextSpan part, WordSink& sink) const override {
    const std::string_view view = part.of(text);
    const auto add = [&](bool keep, size_t begin, size_t end) {
      if (keep && begin != end) sink.add(part.begin + begin, part.begin + end);
    };
    RegexScan scan(regex_);
    scan.start(view);
    size_t done = 0;
    for (size_t begin = 0, end = 0; scan.next(begin, end); done = end) {
      add(keep_gaps_, done, begin);
      add(keep_matches_, begin, end);
    }
    add(keep_gaps_, done, view.size());
  }

 private:
  Regex regex_;
  bool keep_matches_, keep_gaps_;
};

// Numbers apart from the rest, together or one by one.
class NumberCuts : public WordScanner {
 public:
  explicit NumberCuts(bool individual) : individual_(individual) {}

  void scan(std::string_view text, TextSpan part, WordSink& sink) const override {
    const std::string_view view = text.substr(0, part.end);
    size_t begin = part.begin;
    bool in_number = false;
    for (size_t at = part.begin; at < view.size();) {
      const size_t here = at;
      const bool number = is_numeric(next_code_point(view, at));
      if (here != begin && (number != in_number || (number && individual_))) {
        sink.add(begin, here);
        begin = here;
      }
      in_number = number;
    }
    if (begin != part.end) sink.add(begin, part.end);
  }

 private:
  bool individual_;
};

// Cuts what one scanner finds by another.
class Chain : public WordScanner {
 public:
  Chain(std::unique_ptr<WordScanner> first, std::unique_ptr<WordScanner> second)
      : first_(std::move(first)), second_(std::move(second)) {}

  void scan(std::string_view text, TextSpan part, WordSink& sink) const override {
    Link link(text, *second_, sink);
    first_->scan(text, part, link);
    link.flush();
  }

 private:
  class Link : public WordSink {
   public:
    Link(std::string_view text, const WordScanner& scanner, WordSink& out)
        : text_(text), scanner_(scanner), out_(out) {}

   private:
    void consume(std::span<const TextSpan> words) override {
      for (const TextSpan& word : words) scanner_.scan(text_, word, out_);
    }

    std::string_view text_;
    const WordScanner& scanner_;
    WordSink& out_;
  };

  std::unique_ptr<WordScanner> first_, second_;
};

// Null when this split does more than keep or drop what it finds.
std::unique_ptr<WordScanner> plan_split(const ComponentConfig& config) {
  const TextPattern pattern = read_pattern(config);
  const SplitBehavior behavior = parse_split_behavior(config.text("behavior"), config.source());
  const bool invert = config.flag("invert");
  const bool isolated = behavior == SplitBehavior::kIsolated;
  if (!isolated && behavior != SplitBehavior::kRemoved) return nullptr;
  const bool keep_matches = isolated || invert, keep_gaps = isolated || !invert;
  if (pattern.is_regex && keep_matches) {
    if (auto known = make_known_scanner(pattern.text, keep_gaps)) return known;
  }
  return std::make_unique<RegexCuts>(pattern.is_regex
                                         ? Regex::compile(pattern.text, config.source())
                                         : Regex::literal(pattern.text, config.source()),
                                     keep_matches, keep_gaps);
}

class Planner {
 public:
  explicit Planner(const std::string& source) : source_(source) {}

  // False when the step cannot be planned.
  bool add(const nlohmann::json& step) {
    const ComponentConfig config(step, "pre_tokenizer", source_);
    if (plan_.byte_level) return false;  // what follows would see the byte alphabet
    if (config.type() == "Sequence") {
      for (const auto& inner : config.list("pretokenizers")) {
        if (!add(inner)) return false;
      }
      return true;
    }
    if (config.type() == "Split") return append(plan_split(config));
    if (config.type() == "Digits") {
      return append(std::make_unique<NumberCuts>(config.flag("individual_digits")));
    }
    if (config.type() == "ByteLevel" && !config.flag("add_prefix_space")) {
      plan_.byte_level = true;
      return !config.flag_or("use_regex", true) || append(make_known_scanner(kGpt2Pattern, true));
    }
    return false;
  }

  CutPlan take() {
    if (plan_.scanner == nullptr) plan_.scanner = std::make_unique<WholeText>();
    return std::move(plan_);
  }

 private:
  bool append(std::unique_ptr<WordScanner> scanner) {
    if (scanner == nullptr) return false;
    plan_.scanner = plan_.scanner == nullptr
                        ? std::move(scanner)
                        : std::make_unique<Chain>(std::move(plan_.scanner), std::move(scanner));
    return true;
  }

  const std::string& source_;
  CutPlan plan_;
};

}  // namespace

std::optional<CutPlan> plan_cuts(const nlohmann::json& pre_tokenizer, const std::string& source) {
  Planner planner(source);
  if (!pre_tokenizer.is_null() && !planner.add(pre_tokenizer)) return std::nullopt;
  return planner.take();
}

}  // namespace nibble
