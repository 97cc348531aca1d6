// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/clean_up.h"

#include <array>
#include <utility>

#include "nibble/base/utf8.h"

namespace nibble {
namespace {

struct Rule {
  std::string_view from, to;
};
constexpr std::string_view kDoNot = " do not";
constexpr std::array<Rule, 11> kRules = {{{" .", "."},
                                          {" ?", "?"},
                                          {" !", "!"},
                                          {" ,", ","},
                                          {" ' ", "'"},
                                          {" n't", "n't"},
                                          {" 'm", "'m"},
                                          {kDoNot, " don't"},
                                          {" 's", "'s"},
                                          {" 've", "'ve"},
                                          {" 're", "'re"}}};

// What the rules (but for "do not") do together starts at a space before one of these and changes
// at most so many bytes from there on: the longest is " n ' t".
constexpr std::string_view kAfterSpace = ".?!,'n";
constexpr size_t kReach = 8;

}  // namespace

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  if (from.empty()) {
    for (size_t at = 0; at < text.size();) {
      const size_t length = utf8_length(text[at]);
      out.append(to).append(text.substr(at, length));
      at += length;
    }
    return out.append(to);
  }
  for (;;) {
    const size_t at = text.find(from);
    out += text.substr(0, at);
    if (at == std::string_view::npos) return out;
    out += to;
    text.remove_prefix(at + from.size());
  }
}

std::string clean_up_spaces(std::string text, bool expand_do_not) {
  if (text.find(' ') == std::string::npos) return text;
  for (const Rule& rule : kRules) {
    if (rule.from == kDoNot && !expand_do_not) continue;
    if (text.find(rule.from) != std::string::npos) text = replace_all(text, rule.from, rule.to);
  }
  return text;
}

void CleanUpFilter::push(std::string_view part, bool) {
  held_ += part;
  // Before `end` lies what is settled: no space near it can start anything that goes beyond.
  size_t end = held_.size();
  for (size_t at = end; at-- > 0 && at + kReach >= end;) {
    const bool starts =
        held_[at] == ' ' &&
        (at + 1 == held_.size() || kAfterSpace.find(held_[at + 1]) != std::string_view::npos);
    if (starts) end = at;
  }
  if (end == 0) return;
  next_.push(clean_up_spaces(held_.substr(0, end), /*expand_do_not=*/false), false);
  held_.erase(0, end);
}

void CleanUpFilter::finish() {
  next_.push(clean_up_spaces(std::exchange(held_, {}), /*expand_do_not=*/false), true);
  next_.finish();
}

}  // namespace nibble
