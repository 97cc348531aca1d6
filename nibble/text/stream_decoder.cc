// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "nibble/text/text_collector.h"
#include "nibble/text/tokenizer_parts.h"

namespace nibble {

struct StreamDecoder::State {
  State(std::shared_ptr<const Tokenizer> t, DecodeOptions o)
      : tokenizer(std::move(t)), options(o) {}

  std::shared_ptr<const Tokenizer> tokenizer;
  DecodeOptions options;
  TextCollector text;
  std::unique_ptr<TokenSink> filter;  // null between sequences
};

StreamDecoder::StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, DecodeOptions options)
    : state_(std::make_unique<State>(std::move(tokenizer), options)) {}

StreamDecoder::~StreamDecoder() = default;

std::string StreamDecoder::push(int32_t id) {
  State& s = *state_;
  const Tokenizer::Parts& parts = *s.tokenizer->parts_;
  if (s.filter == nullptr) s.filter = parts.start_decoding(s.text, s.options);
  if (const auto token = parts.decodable(id, s.options)) s.filter->push(*token, true);
  return s.text.take();
}

std::string StreamDecoder::finish() {
  State& s = *state_;
  if (s.filter == nullptr) return "";
  s.filter->finish();
  s.filter.reset();
  return s.text.take();
}

}  // namespace nibble
