// SPDX-License-Identifier: Apache-2.0
#include "nibble/eval/continuations.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/eval/passes.h"
#include "nibble/ops/rows.h"

namespace nibble {
namespace {

// A token whose likelihood is wanted, and the row that predicts it.
struct Wanted {
  int64_t row;
  int32_t target;
  ContinuationScore* score;
};

// Tokens that continue a sequence of the cache, and what is wanted of their rows, in any order.
struct Run {
  int64_t sequence;
  std::span<const int32_t> tokens;
  std::vector<Wanted> wanted;
};

// What the model reads for one continuation: all tokens but the last, which predicts nothing that
// is asked for.
struct Input {
  std::vector<int32_t> tokens;
  int64_t first;  // the row that predicts the first token of the continuation
};

Input input_of(const Continuation& continuation, const ModelConfig& config) {
  check_continuation(continuation, config);
  Input input{continuation.context, 0};
  input.tokens.insert(input.tokens.end(), continuation.ids.begin(), continuation.ids.end() - 1);
  const int64_t over = static_cast<int64_t>(input.tokens.size()) - config.max_position_embeddings;
  if (over > 0) input.tokens.erase(input.tokens.begin(), input.tokens.begin() + over);
  input.first = static_cast<int64_t>(input.tokens.size() - continuation.ids.size());
  return input;
}

int64_t common_prefix(std::span<const int32_t> a, std::span<const int32_t> b) {
  return std::ranges::mismatch(a, b).in1 - a.begin();
}

// One group: its inputs, and how many tokens they have in common at the start.
struct Plan {
  std::vector<Input> inputs;
  int64_t shared;

  Plan(const ContinuationGroup& group, const ModelConfig& config) {
    for (const Continuation& continuation : group) inputs.push_back(input_of(continuation, config));
    shared = static_cast<int64_t>(inputs[0].tokens.size());
    for (const Input& input : inputs) {
      shared = std::min(shared, common_prefix(inputs[0].tokens, input.tokens));
    }
  }

  int64_t tokens() const {
    int64_t count = shared;
    for (const Input& input : inputs) count += static_cast<int64_t>(input.tokens.size()) - shared;
    return count;
  }
};

class ContinuationScorer {
 public:
  ContinuationScorer(const Model& model, Backend& backend)
      : model_(model),
        stream_(backend.new_stream()),
        ctx_{backend, *stream_},
        cache_(model.new_cache()),
        root_(cache_.add_sequence()) {}

  // Tokens that all further inputs begin with.
  void begin(std::span<const int32_t> common) {
    if (common.empty()) return;
    std::vector<Run> runs = {{root_, common, {}}};
    run(runs);
  }

  void score(std::span<const Plan> plans, std::span<const ContinuationGroup> groups,
             std::span<std::vector<ContinuationScore>> scores);

 private:
  void run(std::vector<Run>& runs);
  void forward(const TokenBatch& batch, std::vector<Wanted>& wanted);
  void read_rows(const Tensor& logits, std::span<const int64_t> rows,
                 std::span<const Wanted> wanted);

  const Model& model_;
  std::unique_ptr<Stream> stream_;
  Context ctx_;
  KvCache cache_;
  int64_t root_;
};

// Two passes: what each group shares, then its branches.
void ContinuationScorer::score(std::span<const Plan> plans,
                               std::span<const ContinuationGroup> groups,
                               std::span<std::vector<ContinuationScore>> scores) {
  const int64_t common = cache_.length(root_);
  std::vector<Run> trunks, branches;
  std::vector<std::pair<int64_t, int64_t>> forks;  // of each branch: the sequence, and where from
  for (size_t g = 0; g < plans.size(); ++g) {
    const Plan& plan = plans[g];
    const auto part = [](const Input& input, int64_t begin, int64_t end) {
      return std::span(input.tokens)
          .subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
    };
    Run trunk{cache_.fork(ctx_, root_, common), part(plan.inputs[0], common, plan.shared), {}};
    for (size_t i = 0; i < plan.inputs.size(); ++i) {
      const Input& input = plan.inputs[i];
      Run branch{
          trunk.sequence, part(input, plan.shared, static_cast<int64_t>(input.tokens.size())), {}};
      int64_t row = input.first;
      for (const int32_t target : groups[g][i].ids) {
        const bool in_trunk = row < plan.shared;
        (in_trunk ? trunk : branch)
            .wanted.push_back({row - (in_trunk ? common : plan.shared), target, &scores[g][i]});
        ++row;
      }
      branches.push_back(std::move(branch));
    }
    trunks.push_back(std::move(trunk));
  }
  run(trunks);
  std::erase_if(branches, [](const Run& branch) { return branch.tokens.empty(); });
  for (Run& branch : branches) {
    branch.sequence = cache_.fork(ctx_, branch.sequence, cache_.length(branch.sequence));
  }
  run(branches);
  for (const std::vector<Run>* runs : {&trunks, &branches}) {
    for (const Run& done : *runs) cache_.drop(done.sequence);
  }
}

// In passes of a bounded number of tokens; a run that does not fit goes on in the next.
void ContinuationScorer::run(std::vector<Run>& runs) {
  TokenBatch batch;
  std::vector<Wanted> wanted;
  for (const Run& run : runs) {
    const auto length = static_cast<int64_t>(run.tokens.size());
    for (int64_t begin = 0; begin < length;) {
      const int64_t end = std::min(length, begin + ModelPasses::kTokensPerPass - batch.tokens());
      for (const Wanted& each : run.wanted) {
        if (each.row < begin || each.row >= end) continue;
        wanted.push_back({batch.tokens() + each.row - begin, each.target, each.score});
      }
      batch.add(run.sequence, {run.tokens.begin() + begin, run.tokens.begin() + end});
      begin = end;
      if (batch.tokens() < ModelPasses::kTokensPerPass) continue;
      forward(batch, wanted);
      batch = {};
      wanted.clear();
    }
  }
  if (batch.tokens() > 0) forward(batch, wanted);
}

void ContinuationScorer::forward(const TokenBatch& batch, std::vector<Wanted>& wanted) {
  const Tensor hidden = hidden_states(ctx_, model_, batch, cache_);
  std::ranges::stable_sort(wanted, {}, &Wanted::row);
  const int64_t most = logits_rows_at_a_time(model_);
  for (size_t begin = 0; begin < wanted.size();) {
    std::vector<int64_t> rows;
    size_t end = begin;
    for (; end < wanted.size(); ++end) {
      if (!rows.empty() && rows.back() == wanted[end].row) continue;
      if (static_cast<int64_t>(rows.size()) == most) break;
      rows.push_back(wanted[end].row);
    }
    read_rows(model_.head(ctx_, select_rows(ctx_, hidden, rows)), rows,
              std::span(wanted).subspan(begin, end - begin));
    begin = end;
  }
}

// Of several targets of one row, the loss of the first tells the others' by their logits.
void ContinuationScorer::read_rows(const Tensor& logits, std::span<const int64_t> rows,
                                   std::span<const Wanted> wanted) {
  std::vector<int32_t> targets;
  for (const Wanted& each : wanted) {
    if (each.row == rows[targets.size()]) targets.push_back(each.target);
    if (targets.size() == rows.size()) break;
  }
  const Shape shape{static_cast<int64_t>(rows.size())};
  const Tensor on_device = ctx_.backend.upload(ctx_.stream, Tensor::from(targets, shape));
  Tensor losses = ctx_.empty(DType::kF32, shape);
  ctx_.backend.cross_entropy(ctx_.stream, logits, on_device, losses);
  const Tensor host_losses = ctx_.backend.download(ctx_.stream, losses);
  const Tensor host_logits = ctx_.backend.download(ctx_.stream, logits);
  ctx_.stream.synchronize();

  const auto vocab = static_cast<size_t>(logits.dim(1));
  std::optional<size_t> current;  // index of the row that `of_row` and `top` are about
  std::span<const float> of_row;
  size_t top = 0;
  for (const Wanted& each : wanted) {
    if (!current || rows[*current] != each.row) {
      current = current ? *current + 1 : 0;
      of_row = host_logits.data<float>().subspan(*current * vocab, vocab);
      top = static_cast<size_t>(std::ranges::max_element(of_row) - of_row.begin());
    }
    const auto target = static_cast<size_t>(each.target);
    const double loss = double{host_losses.data<float>()[*current]} -
                        (double{of_row[target]} - of_row[static_cast<size_t>(targets[*current])]);
    each.score->log_likelihood -= loss;
    each.score->greedy &= target == top;
  }
}

// Examples before all questions, say. Not so far that something is wanted of its rows.
std::span<const int32_t> common_start(std::span<const Plan> plans) {
  std::span<const int32_t> common = plans[0].inputs[0].tokens;
  for (const Plan& plan : plans) {
    for (const Input& input : plan.inputs) {
      const int64_t length = std::min(input.first, common_prefix(common, input.tokens));
      common = common.first(static_cast<size_t>(length));
    }
  }
  return common;
}

}  // namespace

void check_continuation(const Continuation& continuation, const ModelConfig& config) {
  const auto length = static_cast<int64_t>(continuation.ids.size());
  if (length > config.max_position_embeddings) {
    throw Error("a continuation does not fit into the model's context")
        .expected(fmt::format("at most {} tokens (max_position_embeddings)",
                              config.max_position_embeddings))
        .got(fmt::format("{}", length));
  }
  check_in_vocabulary(continuation.context, config);
  check_in_vocabulary(continuation.ids, config);
}

std::vector<std::vector<ContinuationScore>> score_continuations(
    const Model& model, Backend& backend, const std::vector<ContinuationGroup>& groups,
    const std::function<void(int64_t groups)>& done) {
  std::vector<std::vector<ContinuationScore>> scores;
  std::vector<Plan> plans;
  for (const ContinuationGroup& group : groups) {
    scores.emplace_back(group.size());
    plans.emplace_back(group, model.config());
  }
  if (plans.empty()) return scores;
  ContinuationScorer scorer(model, backend);
  const std::span<const int32_t> common = common_start(plans);
  scorer.begin(common);
  for (size_t begin = 0; begin < plans.size();) {
    int64_t tokens = 0;
    size_t end = begin;
    for (; end < plans.size(); ++end) {
      tokens += plans[end].tokens() - static_cast<int64_t>(common.size());
      if (end > begin && tokens > ModelPasses::kTokensPerPass) break;
    }
    const size_t count = end - begin;
    scorer.score(std::span(plans).subspan(begin, count), std::span(groups).subspan(begin, count),
                 std::span(scores).subspan(begin, count));
    if (done) done(static_cast<int64_t>(count));
    begin = end;
  }
  return scores;
}

}  // namespace nibble
