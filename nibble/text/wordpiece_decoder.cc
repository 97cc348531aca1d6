// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/wordpiece_decoder.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "nibble/text/clean_up.h"
#include "nibble/text/token_filter.h"

namespace nibble {
namespace {

std::string clean_up(std::string text) {
  return clean_up_spaces(std::move(text), /*expand_do_not=*/true);
}

class WordPieceFilter : public WholeTokenFilter {
 public:
  WordPieceFilter(TokenSink& next, std::string prefix, bool cleanup)
      : WholeTokenFilter(next), prefix_(std::move(prefix)), cleanup_(cleanup) {}

  void take(std::string_view token) override {
    std::string text;
    if (first_) {
      text = token;
    } else if (token.starts_with(prefix_)) {
      text = token.substr(prefix_.size());
    } else {
      text.append(" ").append(token);
    }
    first_ = false;
    if (cleanup_) text = clean_up(std::move(text));
    next_.push(text, true);
  }

 private:
  std::string prefix_;
  bool cleanup_;
  bool first_ = true;
};

class CtcFilter : public WholeTokenFilter {
 public:
  CtcFilter(TokenSink& next, std::string pad, std::string delimiter, bool cleanup)
      : WholeTokenFilter(next),
        pad_(std::move(pad)),
        delimiter_(std::move(delimiter)),
        cleanup_(cleanup) {}

  void take(std::string_view token) override {
    if (previous_ == token) return;
    previous_ = std::string(token);
    std::string text = replace_all(token, pad_, "");
    if (cleanup_) text = replace_all(clean_up(std::move(text)), delimiter_, " ");
    if (!text.empty()) next_.push(text, true);
  }

 private:
  std::string pad_, delimiter_;
  bool cleanup_;
  std::optional<std::string> previous_;
};

}  // namespace

std::unique_ptr<Decoder> make_wordpiece_decoder(const ComponentConfig& config) {
  return std::make_unique<FilterDecoder<WordPieceFilter, std::string, bool>>(
      config.text("prefix"), config.flag("cleanup"));
}

std::unique_ptr<Decoder> make_ctc_decoder(const ComponentConfig& config) {
  return std::make_unique<FilterDecoder<CtcFilter, std::string, std::string, bool>>(
      config.text("pad_token"), config.text("word_delimiter_token"), config.flag("cleanup"));
}

}  // namespace nibble
