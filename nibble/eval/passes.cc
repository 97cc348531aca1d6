// SPDX-License-Identifier: Apache-2.0
#include "nibble/eval/passes.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/base/atomic_file.h"
#include "nibble/base/error.h"
#include "nibble/io/json_list.h"
#include "nibble/io/text_list.h"

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

}  // namespace

void for_each_window(std::span<const int32_t> ids, const PassOptions& options, int64_t longest,
                     const Pass& pass) {
  const int64_t context = context_of(options, longest);
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
    return for_each_window(tokenizer.encode(read_text_file(file)), options, longest, pass);
  }
  std::vector<std::vector<int32_t>> texts;
  for (const std::string& text : read_text_list(file, options.limit)) {
    texts.push_back(tokenizer.encode(text));
  }
  for_each_text(texts, options, longest, pass);
}

ModelPasses::ModelPasses(const Model& model, Backend& backend)
    : model_(model), stream_(backend.new_stream()), ctx_{backend, *stream_} {
  const int64_t row_bytes = std::max<int64_t>(1, model.config().vocab_size) * 4;
  logits_rows_ = std::clamp<int64_t>(kLogitsBytes / row_bytes, 1, kTokensPerPass);
}

void ModelPasses::begin(std::span<const int32_t> ids) {
  for (const int32_t id : ids) {
    if (id >= 0 && id < model_.config().vocab_size) continue;
    throw Error("a token of the text is not in the model's vocabulary")
        .expected(fmt::format("ids 0 to {}", model_.config().vocab_size - 1))
        .got(fmt::format("{}", id));
  }
  cache_ = std::make_unique<KvCache>(model_.new_cache());
  sequence_ = cache_->add_sequence();
}

Tensor ModelPasses::hidden(std::span<const int32_t> ids, int64_t begin, int64_t end) {
  TokenBatch batch;
  batch.add(sequence_, {ids.begin() + begin, ids.begin() + end});
  Tensor hidden = model_.embed(ctx_, batch);
  for (int64_t i = 0; i < model_.block_count(); ++i) {
    hidden = model_.block(ctx_, i, hidden, batch, *cache_);
  }
  cache_->advance(batch);
  return hidden;
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
