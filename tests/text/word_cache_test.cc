// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/word_cache.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace nibble {
namespace {

using Ids = std::vector<int32_t>;

WordCache::Key key_of(std::string_view word) { return WordCache::key(word, 0, word.size()); }

Ids find(const WordCache& cache, std::string_view word) {
  const auto known = word.size() <= WordCache::kMaxShortBytes
                         ? cache.find(key_of(word), cache.place(key_of(word)))
                         : cache.find(word);
  return known.has_value() ? Ids(known->begin(), known->end()) : Ids{-1};
}

void insert(WordCache& cache, std::string_view word, const Ids& ids) {
  if (word.size() <= WordCache::kMaxShortBytes) {
    cache.insert(key_of(word), cache.place(key_of(word)), ids);
  } else {
    cache.insert(word, ids);
  }
}

TEST(WordCache, KeysAreTheWordWhateverStandsBehindIt) {
  const std::string text = "abcdefghijklmnopqrstuvwxyz";
  for (size_t bytes = 0; bytes <= WordCache::kMaxShortBytes; ++bytes) {
    const std::string word = text.substr(0, bytes);
    EXPECT_EQ(WordCache::key(text, 0, bytes), WordCache::key(word, 0, bytes)) << bytes;
    EXPECT_NE(WordCache::key(text, 0, bytes), WordCache::key(text, 1, bytes + (bytes == 0)));
  }
  // Length counts: a zero byte at the end is not nothing.
  EXPECT_NE(key_of("a"), key_of(std::string_view("a\0", 2)));
}

TEST(WordCache, FindsWhatWasKept) {
  WordCache cache(1000);
  const std::string fifteen(15, 'x'), sixteen(16, 'x'), longest(64, 'y'), longer(65, 'y');
  insert(cache, "a", {1});
  insert(cache, "nothing", {});
  insert(cache, fifteen, {1, 2, 3});
  insert(cache, sixteen, {4});
  insert(cache, longest, Ids(14, 9));
  insert(cache, longer, {5});
  insert(cache, std::string(20, 'z'), Ids(15, 9));
  EXPECT_EQ(find(cache, "a"), (Ids{1}));
  EXPECT_EQ(find(cache, "nothing"), Ids{});
  EXPECT_EQ(find(cache, fifteen), (Ids{1, 2, 3}));
  EXPECT_EQ(find(cache, sixteen), (Ids{4}));
  EXPECT_EQ(find(cache, longest), Ids(14, 9));
  for (const std::string& unknown : {std::string("b"), longer, std::string(20, 'z')}) {
    EXPECT_EQ(find(cache, unknown), Ids{-1}) << unknown;
  }
}

TEST(WordCache, ForgetsNothingAndMixesNothingUpWhenFull) {
  WordCache cache(1);
  std::vector<std::string> kept;
  for (int i = 0; i < 5000; ++i) {
    const std::string word = (i % 2 == 0 ? "w" : "a word of some length ") + std::to_string(i);
    insert(cache, word, {i});
    if (find(cache, word) != Ids{-1}) kept.push_back(word);
  }
  EXPECT_GT(kept.size(), 100u);
  EXPECT_LT(kept.size(), 400u);
  for (const std::string& word : kept) {
    const int32_t id = std::stoi(word.substr(word.find_first_of("0123456789")));
    EXPECT_EQ(find(cache, word), Ids{id});
  }
}

TEST(WordCache, ThreadsShareIt) {
  WordCache cache(2000);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 3000; ++i) {
        const std::string word = (i % 3 == 0 ? "some longer word " : "w") + std::to_string(i % 700);
        const Ids found = find(cache, word);
        if (found != Ids{-1} && found != Ids{i % 700}) ++wrong[t];
        if (found == Ids{-1}) insert(cache, word, {i % 700});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

}  // namespace
}  // namespace nibble
