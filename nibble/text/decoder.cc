// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/decoder.h"

#include <algorithm>
#include <charconv>
#include <deque>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "nibble/base/utf8.h"
#include "nibble/text/byte_level.h"
#include "nibble/text/component_config.h"
#include "nibble/text/metaspace.h"
#include "nibble/text/replace.h"
#include "nibble/text/token_filter.h"
#include "nibble/text/wordpiece_decoder.h"

namespace nibble {
namespace {

// Melts all tokens into the bytes they stand for; what is no UTF-8 becomes U+FFFD.
class ByteLevelFilter : public WholeTokenFilter {
 public:
  using WholeTokenFilter::WholeTokenFilter;

  void take(std::string_view token) override {
    append_byte_level_decoded(pending_, token);
    std::string text;
    std::string_view rest = pending_;
    while (!rest.empty()) {
      const Utf8Unit unit = examine_utf8(rest);
      if (unit.kind == Utf8Unit::Kind::kIncomplete) break;
      text += unit.kind == Utf8Unit::Kind::kCharacter ? rest.substr(0, unit.length)
                                                      : kReplacementCharacter;
      rest.remove_prefix(unit.length);
    }
    pending_ = std::string(rest);
    if (!text.empty()) next_.push(text, false);
  }

  void finish() override {
    next_.push(pending_.empty() ? std::string_view() : kReplacementCharacter, true);
    next_.finish();
  }

 private:
  std::string pending_;  // the start of a character
};

// Joins runs of tokens like <0xE2> into text. A run that is no UTF-8 as a whole becomes one U+FFFD
// for each of its bytes, so nothing of it is certain before it ends.
class ByteFallbackFilter : public WholeTokenFilter {
 public:
  using WholeTokenFilter::WholeTokenFilter;

  void take(std::string_view token) override {
    if (const std::optional<uint8_t> byte = parse(token)) {
      bytes_ += static_cast<char>(*byte);
      return;
    }
    flush();
    next_.push(token, true);
  }

  void finish() override {
    flush();
    next_.finish();
  }

 private:
  static std::optional<uint8_t> parse(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
    // Rust's number parser, which decides this in the reference, takes a leading plus sign.
    const char* first = token.data() + (token[3] == '+' ? 4 : 3);
    const char* last = token.data() + 5;
    uint8_t byte = 0;
    const auto [end, failure] = std::from_chars(first, last, byte, 16);
    if (failure != std::errc() || end != last) return std::nullopt;
    return byte;
  }

  void flush() {
    if (bytes_.empty()) return;
    if (is_valid_utf8(bytes_)) {
      next_.push(bytes_, true);
    } else {
      for (size_t i = 0; i < bytes_.size(); ++i) next_.push(kReplacementCharacter, true);
    }
    bytes_.clear();
  }

  std::string bytes_;
};

// Makes one token of all.
class FuseFilter : public TokenFilter {
 public:
  using TokenFilter::TokenFilter;
  void push(std::string_view part, bool) override {
    if (!part.empty()) next_.push(part, false);
  }
  void finish() override {
    next_.push({}, true);
    next_.finish();
  }
};

// Takes up to `start` and `stop` times the character `content` off the ends of each token.
class StripFilter : public TokenFilter {
 public:
  StripFilter(TokenSink& next, std::string content, int64_t start, int64_t stop)
      : TokenFilter(next), content_(std::move(content)), start_(start), stop_(stop), left_(start) {}

  void push(std::string_view part, bool ends_token) override {
    while (left_ > 0 && !part.empty()) {
      if (!part.starts_with(content_)) {
        left_ = 0;
      } else {
        part.remove_prefix(content_.size());
        --left_;
      }
    }
    // The last `stop_` stripped characters so far wait: they go if the token ends here.
    std::string text;
    while (!part.empty()) {
      if (stop_ > 0 && part.starts_with(content_)) {
        if (held_ == stop_) {
          text += content_;
        } else {
          ++held_;
        }
        part.remove_prefix(content_.size());
        continue;
      }
      for (; held_ > 0; --held_) text += content_;
      const size_t length = stop_ > 0 ? utf8_length(part[0]) : part.size();
      text += part.substr(0, length);
      part.remove_prefix(length);
    }
    if (ends_token) {
      held_ = 0;
      left_ = start_;
    }
    if (!text.empty() || ends_token) next_.push(text, ends_token);
  }

 private:
  std::string content_;
  int64_t start_, stop_;
  int64_t left_;      // how many may still go from the start of this token
  int64_t held_ = 0;  // how many wait at its end
};

class ReplaceFilter : public WholeTokenFilter {
 public:
  ReplaceFilter(TokenSink& next, std::shared_ptr<const Replacement> replacement)
      : WholeTokenFilter(next), replacement_(std::move(replacement)) {}
  void take(std::string_view token) override { next_.push(replacement_->apply(token), true); }

 private:
  std::shared_ptr<const Replacement> replacement_;
};

// U+2581 becomes a space, or nothing in the first token when one was prepended.
class MetaspaceFilter : public TokenFilter {
 public:
  MetaspaceFilter(TokenSink& next, const Metaspace& settings)
      : TokenFilter(next),
        mark_(settings.replacement),
        drop_in_first_(settings.prepend != Metaspace::Prepend::kNever) {}

  void push(std::string_view part, bool ends_token) override {
    std::string text;
    for (size_t at = 0; at < part.size();) {
      if (part.substr(at).starts_with(mark_)) {
        if (!(first_ && drop_in_first_)) text += ' ';
        at += mark_.size();
      } else {
        const size_t length = utf8_length(part[at]);
        text += part.substr(at, length);
        at += length;
      }
    }
    if (ends_token) first_ = false;
    next_.push(text, ends_token);
  }

 private:
  std::string mark_;
  bool drop_in_first_;
  bool first_ = true;
};

// The end-of-word mark becomes a space, or nothing in the last token.
class WordEndFilter : public WholeTokenFilter {
 public:
  WordEndFilter(TokenSink& next, std::string suffix)
      : WholeTokenFilter(next), suffix_(std::move(suffix)) {}

  void take(std::string_view token) override {
    if (waiting_.has_value()) next_.push(with_suffix_as(*waiting_, " "), true);
    waiting_ = std::string(token);
  }

  void finish() override {
    if (waiting_.has_value()) next_.push(with_suffix_as(*waiting_, ""), true);
    next_.finish();
  }

 private:
  std::string with_suffix_as(std::string_view token, std::string_view text) const {
    std::string out;
    for (;;) {
      const size_t at = token.find(suffix_);
      out += token.substr(0, at);
      if (at == std::string_view::npos) return out;
      out += text;
      token.remove_prefix(at + suffix_.size());
    }
  }

  std::string suffix_;
  std::optional<std::string> waiting_;
};

class JoinFilter : public TokenFilter {
 public:
  using TokenFilter::TokenFilter;
  void push(std::string_view part, bool ends_token) override {
    if (at_token_start_ && !first_) next_.push(" ", false);
    first_ = false;
    at_token_start_ = ends_token;
    next_.push(part, ends_token);
  }

 private:
  bool first_ = true, at_token_start_ = true;
};

// A chain of filters; owns them, the last one first.
class ChainSink : public TokenSink {
 public:
  ChainSink(TokenSink& next, const std::vector<std::unique_ptr<Decoder>>& decoders) : head_(&next) {
    for (auto it = decoders.rbegin(); it != decoders.rend(); ++it) {
      filters_.push_back((*it)->start(*head_));
      head_ = filters_.back().get();
    }
  }
  void push(std::string_view part, bool ends_token) override { head_->push(part, ends_token); }
  void finish() override { head_->finish(); }

 private:
  std::vector<std::unique_ptr<TokenSink>> filters_;
  TokenSink* head_;
};

class SequenceDecoder : public Decoder {
 public:
  explicit SequenceDecoder(std::vector<std::unique_ptr<Decoder>> decoders)
      : decoders_(std::move(decoders)) {}
  std::unique_ptr<TokenSink> start(TokenSink& next) const override {
    return std::make_unique<ChainSink>(next, decoders_);
  }

 private:
  std::vector<std::unique_ptr<Decoder>> decoders_;
};

std::unique_ptr<Decoder> make_strip(const ComponentConfig& config) {
  std::string content;
  append_utf8(content, config.character("content"));
  return std::make_unique<FilterDecoder<StripFilter, std::string, int64_t, int64_t>>(
      std::move(content), config.count("start"), config.count("stop"));
}

std::unique_ptr<Decoder> make_word_end(const ComponentConfig& config) {
  std::string suffix = config.text("suffix");
  if (suffix.empty()) throw config.error("has an empty suffix");
  return std::make_unique<FilterDecoder<WordEndFilter, std::string>>(std::move(suffix));
}

}  // namespace

std::unique_ptr<Decoder> make_decoder(const nlohmann::json& object, const std::string& source) {
  const ComponentConfig config(object, "decoder", source);
  const std::string& type = config.type();
  if (type == "ByteLevel") return std::make_unique<FilterDecoder<ByteLevelFilter>>();
  if (type == "ByteFallback") return std::make_unique<FilterDecoder<ByteFallbackFilter>>();
  if (type == "Fuse") return std::make_unique<FilterDecoder<FuseFilter>>();
  if (type == "Strip") return make_strip(config);
  if (type == "Replace") {
    return std::make_unique<FilterDecoder<ReplaceFilter, std::shared_ptr<const Replacement>>>(
        std::make_shared<const Replacement>(config));
  }
  if (type == "Metaspace") {
    return std::make_unique<FilterDecoder<MetaspaceFilter, Metaspace>>(Metaspace(config));
  }
  if (type == "WordPiece") return make_wordpiece_decoder(config);
  if (type == "CTC") return make_ctc_decoder(config);
  if (type == "BPEDecoder") return make_word_end(config);
  if (type == "Sequence") {
    std::vector<std::unique_ptr<Decoder>> decoders;
    for (const auto& step : config.list("decoders")) {
      decoders.push_back(make_decoder(step, source));
    }
    return std::make_unique<SequenceDecoder>(std::move(decoders));
  }
  throw config.unsupported();
}

std::unique_ptr<Decoder> make_joining_decoder() {
  return std::make_unique<FilterDecoder<JoinFilter>>();
}

}  // namespace nibble
