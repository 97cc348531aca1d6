// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/encoding.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "nibble/base/error.h"

namespace nibble {
namespace {

constexpr int64_t kMaxPaddedLength = int64_t{1} << 28;

template <class T>
std::vector<T> slice(const std::vector<T>& list, int64_t begin, int64_t end) {
  return {list.begin() + begin, list.begin() + end};
}

Encoding window(const Encoding& encoding, int64_t begin, int64_t end) {
  return {.ids = slice(encoding.ids, begin, end),
          .type_ids = slice(encoding.type_ids, begin, end),
          .special_tokens_mask = slice(encoding.special_tokens_mask, begin, end),
          .attention_mask = slice(encoding.attention_mask, begin, end),
          .overflowing = {}};
}

// How much of two texts stays when both may be cut: the shorter one whole if it fits into half.
std::pair<int64_t, int64_t> share(int64_t first, int64_t second, int64_t max_length) {
  const bool swapped = first > second;
  if (swapped) std::swap(first, second);
  second = first > max_length ? first : std::max(first, max_length - first);
  if (first + second > max_length) {
    first = max_length / 2;
    second = first + max_length % 2;
  }
  if (swapped) std::swap(first, second);
  return {first, second};
}

void pad_one(Encoding& encoding, int64_t length, const Padding& padding) {
  for (Encoding& part : encoding.overflowing) pad_one(part, length, padding);
  const int64_t missing = length - encoding.size();
  if (missing <= 0) return;
  const auto fill = [&](auto& list, auto value) {
    list.insert(padding.direction == Side::kLeft ? list.begin() : list.end(),
                static_cast<size_t>(missing), value);
  };
  fill(encoding.ids, padding.pad_id);
  fill(encoding.type_ids, padding.pad_type_id);
  fill(encoding.special_tokens_mask, uint8_t{1});
  fill(encoding.attention_mask, uint8_t{0});
}

}  // namespace

void append_encoding(Encoding& out, const Encoding& part) {
  const auto append = [](auto& list, const auto& more) {
    list.insert(list.end(), more.begin(), more.end());
  };
  append(out.ids, part.ids);
  append(out.type_ids, part.type_ids);
  append(out.special_tokens_mask, part.special_tokens_mask);
  append(out.attention_mask, part.attention_mask);
}

void truncate_encoding(Encoding& encoding, int64_t max_length, int64_t stride, Side direction) {
  const int64_t size = encoding.size();
  if (max_length >= size) return;
  if (max_length == 0) {
    Encoding whole = std::exchange(encoding, {});
    encoding.overflowing.push_back(std::move(whole));
    return;
  }
  if (stride >= max_length) {
    throw Error("the stride of a truncation is not below its length")
        .expected(fmt::format("below {}, the length less the special tokens", max_length))
        .got(std::to_string(stride));
  }
  const int64_t step = max_length - stride;
  std::vector<Encoding> windows;
  if (direction == Side::kRight) {
    for (int64_t begin = 0;; begin += step) {
      const int64_t end = std::min(begin + max_length, size);
      windows.push_back(window(encoding, begin, end));
      if (end == size) break;
    }
  } else {
    for (int64_t end = size;; end -= step) {
      const int64_t begin = std::max<int64_t>(end - max_length, 0);
      windows.push_back(window(encoding, begin, end));
      if (begin == 0) break;
    }
  }
  encoding = std::move(windows.front());
  encoding.overflowing.assign(std::make_move_iterator(windows.begin() + 1),
                              std::make_move_iterator(windows.end()));
}

void truncate_encodings(Encoding& first, Encoding* second, const Truncation& truncation) {
  using Strategy = Truncation::Strategy;
  const auto cut = [&](Encoding& encoding, int64_t length) {
    truncate_encoding(encoding, length, truncation.stride, truncation.direction);
  };
  if (truncation.max_length == 0) {
    cut(first, 0);
    if (second != nullptr) cut(*second, 0);
    return;
  }
  const int64_t total = first.size() + (second == nullptr ? 0 : second->size());
  const int64_t excess = total - truncation.max_length;
  if (excess <= 0) return;
  if (truncation.strategy == Strategy::kLongestFirst) {
    if (second == nullptr) {
      cut(first, truncation.max_length);
      return;
    }
    const auto [left, right] = share(first.size(), second->size(), truncation.max_length);
    cut(first, left);
    cut(*second, right);
    return;
  }
  Encoding* target = truncation.strategy == Strategy::kOnlyFirst ? &first : second;
  if (target == nullptr) {
    throw Error("the truncation is to cut the second of two texts, and there is one only");
  }
  if (target->size() <= excess) {
    throw Error("the text to be cut is too short for the truncation's length")
        .expected(fmt::format("more than {} tokens", excess))
        .got(std::to_string(target->size()));
  }
  cut(*target, target->size() - excess);
}

void pad_encodings(std::vector<Encoding>& encodings, const Padding& padding) {
  int64_t length = padding.length.value_or(0);
  if (!padding.length.has_value()) {
    for (const Encoding& encoding : encodings) length = std::max(length, encoding.size());
  }
  const int64_t multiple = padding.pad_to_multiple_of.value_or(0);
  if (multiple > 0 && length % multiple > 0) length += multiple - length % multiple;
  if (length > kMaxPaddedLength) {
    throw Error("padding to this length is not supported")
        .expected(fmt::format("at most {}", kMaxPaddedLength))
        .got(std::to_string(length));
  }
  for (Encoding& encoding : encodings) pad_one(encoding, length, padding);
}

}  // namespace nibble
