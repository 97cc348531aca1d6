// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/replace.h"

namespace nibble {

Replacement::Replacement(const ComponentConfig& config) : content_(config.text("content")) {
  TextPattern pattern = read_pattern(config);
  if (pattern.is_regex || pattern.text.empty()) {
    regex_ = Regex::compile(pattern.text, config.source());
  } else {
    needle_ = std::move(pattern.text);
  }
}

std::string Replacement::apply(std::string_view text, bool* start_removed) const {
  std::string out;
  if (text.empty()) return out;
  out.reserve(text.size());
  size_t done = 0;
  const auto replace = [&](size_t begin, size_t end) {
    if (start_removed != nullptr && out.empty() && begin == done && begin < end) {
      *start_removed |= content_.empty();
    }
    out += text.substr(done, begin - done);
    out += content_;
    done = end;
  };
  if (regex_.has_value()) {
    RegexScan scan(*regex_);
    scan.start(text);
    for (size_t begin = 0, end = 0; scan.next(begin, end);) replace(begin, end);
  } else {
    for (size_t at = text.find(needle_); at != std::string_view::npos;
         at = text.find(needle_, done)) {
      replace(at, at + needle_.size());
    }
  }
  out += text.substr(done);
  return out;
}

}  // namespace nibble
