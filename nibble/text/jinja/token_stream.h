// SPDX-License-Identifier: Apache-2.0
//
// A cursor over tokens with the questions that a parser asks. Fails with the line of the current
// token.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/text/jinja/lexer.h"

namespace nibble::jinja {

class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& look() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  int line() const { return current().line; }

  bool is(Token::Kind kind) const { return current().kind == kind; }
  bool is_operator(std::string_view op) const {
    return is(Token::Kind::kOperator) && current().text == op;
  }
  bool is_name(std::string_view name) const {
    return is(Token::Kind::kName) && current().text == name;
  }

  // The current token; moves on unless it is the end.
  Token next() {
    Token token = current();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }

  bool skip_operator(std::string_view op) {
    if (!is_operator(op)) return false;
    next();
    return true;
  }
  bool skip_name(std::string_view name) {
    if (!is_name(name)) return false;
    next();
    return true;
  }

  void expect_operator(std::string_view op) {
    if (!skip_operator(op)) fail(fmt::format("expected '{}', got {}", op, describe()));
  }
  void expect_name(std::string_view name) {
    if (!skip_name(name)) fail(fmt::format("expected '{}', got {}", name, describe()));
  }
  std::string expect_any_name() {
    if (!is(Token::Kind::kName)) fail(fmt::format("expected a name, got {}", describe()));
    return next().text;
  }
  void expect(Token::Kind kind, std::string_view what) {
    if (!is(kind)) fail(fmt::format("expected {}, got {}", what, describe()));
    next();
  }

  // The current token, for messages.
  std::string describe() const {
    switch (current().kind) {
      case Token::Kind::kData:
        return "text";
      case Token::Kind::kVariableBegin:
        return "'{{'";
      case Token::Kind::kVariableEnd:
        return "'}}'";
      case Token::Kind::kBlockBegin:
        return "'{%'";
      case Token::Kind::kBlockEnd:
        return "'%}'";
      case Token::Kind::kString:
        return "a string";
      case Token::Kind::kEnd:
        return "the end of the template";
      default:
        return fmt::format("'{}'", current().text);
    }
  }

  [[noreturn]] void fail(const std::string& what) const { fail_at(line(), what); }
  [[noreturn]] static void fail_at(int line, const std::string& what) {
    throw Error(fmt::format("line {}: {}", line, what));
  }

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

}  // namespace nibble::jinja
