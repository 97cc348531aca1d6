// SPDX-License-Identifier: Apache-2.0
#include "nibble/eval/passes.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/base/error.h"
#include "nibble/io/json_list.h"
#include "nibble/io/text_list.h"
#include "nibble/io/text_source.h"

namespace nibble {
namespace {

// Bounds the logits that exist at a time: 64 rows of a vocabulary of 150,000.
constexpr int64_t kLogitsBytes = int64_t{40} << 20;

int64_t context_of(const PassOptions& options, int64_t longest) {
  if (options.context == 0) return longest;
  if (options.context < 2 || options.context > longest) {
    throw Error("bad context")
        .expected(fmt::format("2 to {} tokens (max_position_embeddings)", longest))
        .got(fmt::format("{}", options.context));
  }
  return options.context;
}

void for_each_second_half(std::span<const int32_t> ids, const PassOptions& options, int64_t context,
                          std::optional<int32_t> bos, const Pass& pass) {
  if (options.stride != 0 && options.stride != context) {
    throw Error("windows of which the second half counts do not overlap")
        .got(fmt::format("a stride of {}", options.stride));
  }
  const auto windows = static_cast<int64_t>(ids.size()) / context;
  if (windows == 0) {
    throw Error("the text is shorter than a window")
        .expected(fmt::format("at least {} tokens", context))
        .got(fmt::format("{}", ids.size()));
  }
  if (options.progress) options.progress->begin("perplexity", windows * context);
  for (int64_t i = 0; i < windows; ++i) {
    std::vector<int32_t> window(ids.begin() + i * context, ids.begin() + (i + 1) * context);
    if (bos) window[0] = *bos;
    pass(window, context / 2 + 1);
    if (options.progress) options.progress->advance(context, {});
  }
  if (options.progress) options.progress->end();
}

}  // namespace

void for_each_window(std::span<const int32_t> ids, const PassOptions& options, int64_t longest,
                     const Pass& pass, std::optional<int32_t> bos) {
  const int64_t context = context_of(options, longest);
  if (options.second_half) return for_each_second_half(ids, options, context, bos, pass);
  const int64_t stride = options.stride == 0 ? context : options.stride;
  if (stride < 1 || stride > context) {
    throw Error("bad stride")
        .expected(fmt::format("1 to {} tokens (the context)", context))
        .got(fmt::format("{}", stride));
  }
  const int64_t length = static_cast<int64_t>(ids.size());
  if (options.progress) options.progress->begin("perplexity", length);
  int64_t counted_end = 0;  // of all tokens before it, none counts again
  for (int64_t begin = 0; begin < length; begin += stride) {
    const int64_t end = std::min(length, begin + context);
    pass(ids.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)),
         std::max<int64_t>(1, counted_end - begin));
    if (options.progress) options.progress->advance(end - counted_end, {});
    counted_end = end;
    if (end == length) break;
  }
  if (options.progress) options.progress->end();
}

void for_each_text(const std::vector<std::vector<int32_t>>& texts, const PassOptions& options,
                   int64_t longest, const Pass& pass) {
  const size_t context = static_cast<size_t>(context_of(options, longest));
  const size_t count =
      options.limit > 0 ? std::min(texts.size(), static_cast<size_t>(options.limit)) : texts.size();
  if (options.progress) options.progress->begin("perplexity", static_cast<int64_t>(count));
  for (size_t i = 0; i < count; ++i) {
    const std::span<const int32_t> text(texts[i]);
    pass(text.first(std::min(text.size(), context)), 1);
    if (options.progress) options.progress->advance(1, {});
  }
  if (options.progress) options.progress->end();
}

void for_each_pass_of_file(const std::filesystem::path& file, const Tokenizer& tokenizer,
                           const PassOptions& options, int64_t longest, const Pass& pass) {
  if (!is_json_list(file)) {
    const std::vector<int32_t> ids = tokenizer.encode(read_text(file));
    const bool begins_with_bos = !ids.empty() && ids[0] == tokenizer.bos_token_id();
    return for_each_window(ids, options, longest, pass,
                           begins_with_bos ? tokenizer.bos_token_id() : std::nullopt);
  }
  if (options.second_half) {
    throw Error("a list of texts has no windows of which the second half counts").file(file);
  }
  std::vector<std::vector<int32_t>> texts;
  for (const std::string& text : read_text_list(file, options.limit)) {
    texts.push_back(tokenizer.encode(text));
  }
  for_each_text(texts, options, longest, pass);
}

Tensor hidden_states(Context& ctx, const Model& model, const TokenBatch& batch, KvCache& cache) {
  Tensor hidden = model.embed(ctx, batch);
  for (int64_t i = 0; i < model.block_count(); ++i) {
    hidden = model.block(ctx, i, hidden, batch, cache);
  }
  cache.advance(batch);
  return hidden;
}

int64_t logits_rows_at_a_time(const Model& model) {
  const int64_t row_bytes = std::max<int64_t>(1, model.config().vocab_size) * 4;
  return std::clamp<int64_t>(kLogitsBytes / row_bytes, 1, ModelPasses::kTokensPerPass);
}

void check_in_vocabulary(std::span<const int32_t> ids, const ModelConfig& config) {
  for (const int32_t id : ids) {
    if (id >= 0 && id < config.vocab_size) continue;
    throw Error("a token of the text is not in the model's vocabulary")
        .expected(fmt::format("ids 0 to {}", config.vocab_size - 1))
        .got(fmt::format("{}", id));
  }
}

ModelPasses::ModelPasses(const Model& model, Backend& backend)
    : model_(model), stream_(backend.new_stream()), ctx_{backend, *stream_} {}

void ModelPasses::begin(std::span<const int32_t> ids) {
  check_in_vocabulary(ids, model_.config());
  cache_ = std::make_unique<KvCache>(model_.new_cache());
  sequence_ = cache_->add_sequence();
}

Tensor ModelPasses::hidden(std::span<const int32_t> ids, int64_t begin, int64_t end) {
  TokenBatch batch;
  batch.add(sequence_, {ids.begin() + begin, ids.begin() + end});
  return hidden_states(ctx_, model_, batch, *cache_);
}

void for_each_piece(std::span<const int32_t> ids, int64_t first, int64_t logits_rows,
                    const std::function<void(int64_t begin, int64_t end)>& step,
                    const std::function<void(int64_t begin, int64_t stop)>& rows) {
  const int64_t length = static_cast<int64_t>(ids.size());
  // The last token predicts nothing that is known, so it need not run.
  for (int64_t begin = 0; begin < length - 1; begin += ModelPasses::kTokensPerPass) {
    const int64_t end = std::min(length - 1, begin + ModelPasses::kTokensPerPass);
    step(begin, end);
    for (int64_t row = std::max(begin, first - 1); row < end; row += logits_rows) {
      rows(row, std::min(end, row + logits_rows));
    }
  }
}

}  // namespace nibble
