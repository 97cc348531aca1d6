// SPDX-License-Identifier: Apache-2.0
#include "nibble/generate/text_generator.h"

#include <algorithm>
#include <utility>

namespace nibble {
namespace {

// The text side of one sequence.
class TextStream {
 public:
  TextStream(const std::shared_ptr<const Tokenizer>& tokenizer, const std::vector<int32_t>& prompt,
             const std::vector<std::string>& stop_strings)
      : visible_(tokenizer, DecodeOptions{.skip_special_tokens = true}),
        all_(tokenizer, DecodeOptions{.skip_special_tokens = false}),
        stop_strings_(stop_strings) {
    for (const std::string& stop : stop_strings) longest_ = std::max(longest_, stop.size());
    for (const int32_t id : prompt) {
      visible_.push(id);
      if (longest_ > 0) all_.push(id);
    }
  }

  // The characters that `id` completes.
  std::string push(int32_t id) {
    std::string piece = visible_.push(id);
    text_ += piece;
    // Stop strings may contain special tokens, which the visible text leaves out.
    if (longest_ > 0) look_for_stop(all_.push(id));
    return piece;
  }

  std::string finish() {
    std::string piece = visible_.finish();
    text_ += piece;
    return piece;
  }

  bool stopped() const { return stopped_; }
  std::string take_text() { return std::move(text_); }

 private:
  void look_for_stop(const std::string& piece) {
    tail_ += piece;
    for (const std::string& stop : stop_strings_) {
      if (tail_.find(stop) != std::string::npos) stopped_ = true;
    }
    // What a later piece can still complete.
    if (tail_.size() >= longest_) tail_.erase(0, tail_.size() - (longest_ - 1));
  }

  StreamDecoder visible_, all_;
  const std::vector<std::string>& stop_strings_;
  size_t longest_ = 0;
  std::string text_, tail_;
  bool stopped_ = false;
};

}  // namespace

TextResult TextGenerator::generate(const std::vector<std::vector<int32_t>>& prompts,
                                   const GenerationConfig& config,
                                   const TextGeneratorOptions& options) {
  std::vector<std::unique_ptr<TextStream>> streams;
  for (const auto& prompt : prompts) {
    streams.push_back(std::make_unique<TextStream>(tokenizer_, prompt, config.stop_strings));
  }
  const auto stream = [&](int64_t sequence) -> TextStream& {
    return *streams[static_cast<size_t>(sequence)];
  };

  GeneratorOptions core;
  core.prefill_chunk = options.prefill_chunk;
  core.progress = options.progress;
  core.on_token = [&](int64_t sequence, int32_t id) {
    const std::string piece = stream(sequence).push(id);
    if (options.on_text) options.on_text(sequence, piece);
  };
  core.is_complete = [&](int64_t sequence) { return stream(sequence).stopped(); };
  GenerationResult generated = generator_.generate(prompts, config, core);

  TextResult result;
  result.timings = generated.timings;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const std::string rest = streams[i]->finish();
    if (options.on_text && !rest.empty()) options.on_text(static_cast<int64_t>(i), rest);
    result.sequences.push_back({prompts[i], std::move(generated.sequences[i].ids),
                                streams[i]->take_text(), generated.sequences[i].finish});
  }
  return result;
}

}  // namespace nibble
