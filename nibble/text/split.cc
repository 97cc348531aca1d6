// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/split.h"

#include <algorithm>

#include "nibble/base/error.h"

namespace nibble {
namespace {

// Walks the spans in the given order and joins a span to the one before it where `joins(previous,
// current)` holds. `grow` extends the earlier one.
template <class Joins, class Grow>
void join_spans(std::vector<Span>& spans, Joins&& joins, Grow&& grow) {
  std::vector<Span> out;
  out.reserve(spans.size());
  bool previous = false;
  for (const Span& span : spans) {
    if (!out.empty() && joins(previous, span.is_match)) {
      grow(out.back(), span);
    } else {
      out.push_back({span.begin, span.end, false});
    }
    previous = span.is_match;
  }
  spans = std::move(out);
}

}  // namespace

SplitBehavior parse_split_behavior(const std::string& name, const std::string& source) {
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  throw Error("a pre_tokenizer has an unknown split behavior")
      .file(source)
      .expected("Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous")
      .got(name);
}

void apply_split_behavior(std::vector<Span>& spans, SplitBehavior behavior) {
  const auto joins_match = [](bool previous, bool current) { return current && !previous; };
  const auto take_end = [](Span& span, const Span& next) { span.end = next.end; };
  switch (behavior) {
    case SplitBehavior::kRemoved:
      return;
    case SplitBehavior::kIsolated:
      for (Span& span : spans) span.is_match = false;
      return;
    case SplitBehavior::kContiguous:
      join_spans(spans, [](bool previous, bool current) { return previous == current; }, take_end);
      return;
    case SplitBehavior::kMergedWithPrevious:
      join_spans(spans, joins_match, take_end);
      return;
    case SplitBehavior::kMergedWithNext:
      std::reverse(spans.begin(), spans.end());
      join_spans(spans, joins_match, [](Span& span, const Span& next) { span.begin = next.begin; });
      std::reverse(spans.begin(), spans.end());
      return;
  }
}

}  // namespace nibble
