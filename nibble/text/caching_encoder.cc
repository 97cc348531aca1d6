// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/caching_encoder.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace nibble {
namespace {

// Words above this are cut at marks: long enough that ordinary ones are not searched for marks.
constexpr size_t kCutAbove = 64;

// Collects the ids of a batch on the stack, where a fixed number of them can be copied for every
// word however many it has: no branch, no call.
class IdBuffer {
 public:
  explicit IdBuffer(std::vector<int32_t>& ids) : ids_(ids) {}
  ~IdBuffer() = default;
  IdBuffer(const IdBuffer&) = delete;
  IdBuffer& operator=(const IdBuffer&) = delete;

  // Of a short word: WordCache::kShortIds numbers can be read.
  void add(std::span<const int32_t> ids) {
    std::memcpy(&buffer_[count_], ids.data(), WordCache::kShortIds * sizeof(int32_t));
    count_ += ids.size();
    if (count_ + WordCache::kShortIds > buffer_.size()) flush();
  }

  void flush() {
    ids_.insert(ids_.end(), buffer_.begin(), buffer_.begin() + count_);
    count_ = 0;
  }

 private:
  std::vector<int32_t>& ids_;
  std::array<int32_t, 512> buffer_;
  size_t count_ = 0;
};

}  // namespace

void CachingEncoder::encode(std::string_view word, std::vector<int32_t>& ids) {
  const TextSpan whole{0, word.size()};
  encode_batch(word, {&whole, 1}, ids);
}

void CachingEncoder::encode_words(std::string_view text, std::span<const TextSpan> words,
                                  std::vector<int32_t>& ids) {
  for (; words.size() > kBatch; words = words.subspan(kBatch)) {
    encode_batch(text, words.first(kBatch), ids);
  }
  encode_batch(text, words, ids);
}

// First all places are computed and fetched from memory, then all words are looked up: so the
// misses of the processor's caches overlap.
void CachingEncoder::encode_batch(std::string_view text, std::span<const TextSpan> words,
                                  std::vector<int32_t>& ids) {
  struct Lookup {
    WordCache::Key key;
    size_t place;
  };
  std::array<Lookup, kBatch> lookups;
  for (size_t i = 0; i < words.size(); ++i) {
    const size_t bytes = words[i].end - words[i].begin;
    if (bytes > WordCache::kMaxShortBytes) continue;
    Lookup& lookup = lookups[i];
    lookup.key = WordCache::key(text, words[i].begin, bytes);
    lookup.place = cache_.place(lookup.key);
    cache_.prefetch(lookup.place);
  }
  IdBuffer buffer(ids);
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i].end - words[i].begin > WordCache::kMaxShortBytes) {
      buffer.flush();
      encode_long(words[i].of(text), ids);
      continue;
    }
    const Lookup& lookup = lookups[i];
    if (const auto known = cache_.find(lookup.key, lookup.place)) {
      buffer.add(*known);
    } else {
      buffer.flush();
      encode_short(lookup.key, lookup.place, words[i].of(text), ids);
    }
  }
  buffer.flush();
}

void CachingEncoder::encode_short(const WordCache::Key& key, size_t place, std::string_view word,
                                  std::vector<int32_t>& ids) {
  // A word of too many ids for a short entry is kept among the long ones.
  if (const auto known = cache_.find(word)) {
    ids.insert(ids.end(), known->begin(), known->end());
    return;
  }
  const size_t before = ids.size();
  encode_new(word, ids);
  const auto found = std::span<const int32_t>(ids).subspan(before);
  if (found.size() <= WordCache::kShortIds) {
    cache_.insert(key, place, found);
  } else {
    cache_.insert(word, found);
  }
}

void CachingEncoder::encode_long(std::string_view word, std::vector<int32_t>& ids) {
  if (!mark_.empty() && word.size() > kCutAbove) return encode_by_marks(word, ids);
  if (const auto known = cache_.find(word)) {
    ids.insert(ids.end(), known->begin(), known->end());
    return;
  }
  const size_t before = ids.size();
  encode_new(word, ids);
  cache_.insert(word, std::span<const int32_t>(ids).subspan(before));
}

void CachingEncoder::encode_by_marks(std::string_view word, std::vector<int32_t>& ids) {
  std::array<TextSpan, kBatch> parts;
  size_t count = 0, begin = 0;
  const auto take_part = [&](size_t end) {
    if (end - begin > kCutAbove) {  // one part that stays long goes to the model as it is
      encode_batch(word, {parts.data(), count}, ids);
      count = 0;
      encode_new(word.substr(begin, end - begin), ids);
    } else {
      parts[count++] = {begin, end};
      if (count == kBatch) {
        encode_batch(word, parts, ids);
        count = 0;
      }
    }
    begin = end;
  };
  size_t at = word.find(mark_);
  while (at != std::string_view::npos) {
    if (at > begin) take_part(at);
    do {
      at += mark_.size();
    } while (word.substr(at).starts_with(mark_));
    at = word.find(mark_, at);
  }
  take_part(word.size());
  encode_batch(word, {parts.data(), count}, ids);
}

}  // namespace nibble
