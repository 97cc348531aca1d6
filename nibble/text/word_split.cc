// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/word_split.h"

#include <optional>
#include <string_view>
#include <vector>

#include "nibble/base/utf8.h"
#include "nibble/text/split.h"

namespace nibble {

void BertPreTokenizer::apply(PreTokenized& input) const {
  split_pieces(input, SplitBehavior::kRemoved,
               [&](std::string_view text, std::vector<Span>& spans) {
                 size_t word = 0;  // where the current word starts
                 for (size_t at = 0; at < text.size();) {
                   const size_t begin = at;
                   const char32_t c = next_code_point(text, at);
                   const bool space = is_whitespace(c);
                   if (!space && !is_punctuation_(c)) continue;
                   if (word < begin) spans.push_back({word, begin, false});
                   spans.push_back({begin, at, space});
                   word = at;
                 }
                 if (word < text.size()) spans.push_back({word, text.size(), false});
               });
}

void UnicodeScripts::apply(PreTokenized& input) const {
  split_pieces(input, SplitBehavior::kRemoved, [](std::string_view text, std::vector<Span>& spans) {
    std::optional<int32_t> last;
    size_t from = 0;
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      const int32_t script = script_v9(next_code_point(text, at));
      if (script == kAnyScript || script == last) continue;
      if (from < begin) spans.push_back({from, begin, !last.has_value()});
      from = begin;
      last = script;
    }
    if (from < text.size()) spans.push_back({from, text.size(), !last.has_value()});
  });
}

void FixedLength::apply(PreTokenized& input) const {
  split_pieces(input, SplitBehavior::kRemoved,
               [&](std::string_view text, std::vector<Span>& spans) {
                 int64_t count = 0;
                 size_t from = 0;
                 for (size_t at = 0; at < text.size();) {
                   at += utf8_length(text[at]);
                   if (++count % length_ != 0 && at < text.size()) continue;
                   spans.push_back({from, at, false});
                   from = at;
                 }
               });
}

}  // namespace nibble
