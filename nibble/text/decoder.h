// SPDX-License-Identifier: Apache-2.0
//
// Decoders turn tokens back into text. Each runs as a filter on a stream of tokens, so that
// decoding a whole list and decoding one token after the other are the same code and give the same
// text; each filter passes on what no later token can change. Tokens are valid UTF-8.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace nibble {

// Takes tokens, in parts: filters that melt all tokens into one give it out bit by bit.
class TokenSink {
 public:
  virtual ~TokenSink() = default;
  // The next part of the current token; `ends_token` when it is the last part.
  virtual void push(std::string_view part, bool ends_token) = 0;
  // No more tokens will come. Called once.
  virtual void finish() = 0;
};

class Decoder {
 public:
  virtual ~Decoder() = default;
  // A fresh filter that sends its output to `next`, which must outlive it.
  virtual std::unique_ptr<TokenSink> start(TokenSink& next) const = 0;
};

// ByteLevel, ByteFallback, Fuse, Strip, Replace, Metaspace, BPEDecoder, WordPiece, CTC, Sequence.
// Throws Error, naming `source` and the type, for any other type and for malformed objects.
std::unique_ptr<Decoder> make_decoder(const nlohmann::json& object, const std::string& source);

// What stands in for a missing decoder: tokens joined by spaces.
std::unique_ptr<Decoder> make_joining_decoder();

}  // namespace nibble
