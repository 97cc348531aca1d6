// SPDX-License-Identifier: Apache-2.0
//
// What the filters of decoders are made of.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "nibble/text/decoder.h"

namespace nibble {

class TokenFilter : public TokenSink {
 public:
  explicit TokenFilter(TokenSink& next) : next_(next) {}
  void finish() override { next_.finish(); }

 protected:
  TokenSink& next_;
};

// For filters that must see a token whole.
class WholeTokenFilter : public TokenFilter {
 public:
  using TokenFilter::TokenFilter;

  void push(std::string_view part, bool ends_token) final {
    if (!ends_token) {
      token_ += part;
    } else if (token_.empty()) {
      take(part);
    } else {
      token_ += part;
      take(std::exchange(token_, {}));
    }
  }

 protected:
  virtual void take(std::string_view token) = 0;

 private:
  std::string token_;
};

// A decoder whose filter is F, built from a next sink and `settings...`.
template <class F, class... Settings>
class FilterDecoder : public Decoder {
 public:
  explicit FilterDecoder(Settings... settings) : settings_(std::move(settings)...) {}
  std::unique_ptr<TokenSink> start(TokenSink& next) const override {
    return std::apply(
        [&](const auto&... settings) { return std::make_unique<F>(next, settings...); }, settings_);
  }

 private:
  std::tuple<Settings...> settings_;
};

}  // namespace nibble
