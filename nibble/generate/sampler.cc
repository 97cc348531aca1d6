// SPDX-License-Identifier: Apache-2.0
#include "nibble/generate/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "nibble/base/error.h"

namespace nibble {
namespace {

constexpr float kExcluded = -std::numeric_limits<float>::infinity();

}  // namespace

Sampler::Sampler(const GenerationConfig& config) : config_(config), random_(config.seed) {
  config_.validate();
}

int32_t Sampler::next(std::span<const float> logits, std::span<const int32_t> ids) {
  scores_.assign(logits.begin(), logits.end());
  if (config_.repetition_penalty != 1.0) penalize_repetition(ids);
  if (config_.no_repeat_ngram_size > 0) ban_repeated_ngrams(ids);
  return config_.is_greedy() ? best() : draw();
}

void Sampler::penalize_repetition(std::span<const int32_t> ids) {
  const float penalty = static_cast<float>(config_.repetition_penalty);
  seen_.assign(scores_.size(), false);
  for (const int32_t id : ids) {
    const size_t i = static_cast<size_t>(id);
    if (i >= seen_.size() || seen_[i]) continue;  // once per token, however often it stands there
    seen_[i] = true;
    scores_[i] = scores_[i] < 0.0f ? scores_[i] * penalty : scores_[i] / penalty;
  }
}

void Sampler::ban_repeated_ngrams(std::span<const int32_t> ids) {
  const size_t n = static_cast<size_t>(config_.no_repeat_ngram_size);
  if (ids.size() < n) return;
  // A window that begins with the last n - 1 tokens bans the token it ends with.
  const std::span<const int32_t> prefix = ids.last(n - 1);
  for (size_t begin = 0; begin + n <= ids.size(); ++begin) {
    if (!std::equal(prefix.begin(), prefix.end(), ids.begin() + static_cast<ptrdiff_t>(begin))) {
      continue;
    }
    const size_t banned = static_cast<size_t>(ids[begin + n - 1]);
    if (banned < scores_.size()) scores_[banned] = kExcluded;
  }
}

int32_t Sampler::best() const {
  // A comparison with NaN is false, so NaN never wins, and all-NaN leaves the start value.
  float highest = kExcluded;
  int32_t id = -1;
  for (size_t i = 0; i < scores_.size(); ++i) {
    if (scores_[i] > highest) {
      highest = scores_[i];
      id = static_cast<int32_t>(i);
    }
  }
  if (id < 0) {
    throw Error("no token can follow: every logit is NaN or excluded")
        .hint("the weights may be damaged; `nibble inspect --compare` measures them");
  }
  return id;
}

int32_t Sampler::draw() {
  candidates_.clear();
  for (size_t i = 0; i < scores_.size(); ++i) {
    if (std::isnan(scores_[i])) throw Error("cannot sample: a logit is NaN");
    if (scores_[i] == kExcluded) continue;
    candidates_.emplace_back(scores_[i] / config_.temperature, static_cast<int32_t>(i));
  }
  if (candidates_.empty()) throw Error("no token can follow: every logit is excluded");
  keep_top_k();
  score_to_weight();
  if (config_.top_p < 1.0) keep_top_p();
  if (config_.min_p) keep_min_p();

  // In the order of ids, so that the draw does not depend on how the candidates were sorted.
  std::sort(candidates_.begin(), candidates_.end(),
            [](const Candidate& a, const Candidate& b) { return a.second < b.second; });
  double total = 0.0;
  for (const auto& [weight, id] : candidates_) total += weight;
  double left = random_.uniform() * total;
  for (const auto& [weight, id] : candidates_) {
    left -= weight;
    if (left < 0.0) return id;
  }
  return candidates_.back().second;  // rounding ate the last bit of `total`
}

void Sampler::keep_top_k() {
  const size_t k = static_cast<size_t>(config_.top_k);
  if (k == 0 || k >= candidates_.size()) return;
  const auto kth = candidates_.begin() + static_cast<ptrdiff_t>(k - 1);
  std::nth_element(candidates_.begin(), kth, candidates_.end(),
                   [](const Candidate& a, const Candidate& b) { return a.first > b.first; });
  const double lowest_kept = kth->first;  // all that tie with it stay, as in transformers
  std::erase_if(candidates_, [&](const Candidate& c) { return c.first < lowest_kept; });
}

void Sampler::score_to_weight() {
  double highest = -std::numeric_limits<double>::infinity();
  for (const Candidate& candidate : candidates_) highest = std::max(highest, candidate.first);
  for (Candidate& candidate : candidates_) candidate.first = std::exp(candidate.first - highest);
}

// The smallest set of most likely tokens whose probability exceeds top_p: walking up from the least
// likely, a token goes while the sum up to it stays within 1 - top_p.
void Sampler::keep_top_p() {
  std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  double total = 0.0;
  for (const Candidate& candidate : candidates_) total += candidate.first;
  double tail = 0.0;
  while (candidates_.size() > 1) {
    tail += candidates_.back().first;
    if (tail > (1.0 - config_.top_p) * total) break;
    candidates_.pop_back();
  }
}

void Sampler::keep_min_p() {
  double highest = 0.0;
  for (const Candidate& candidate : candidates_) highest = std::max(highest, candidate.first);
  std::erase_if(candidates_,
                [&](const Candidate& c) { return c.first < *config_.min_p * highest; });
}

}  // namespace nibble
