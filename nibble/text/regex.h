// SPDX-License-Identifier: Apache-2.0
//
// A compiled regular expression of tokenizer.json. It finds what Oniguruma finds for the same
// pattern, but runs on PCRE2 with its JIT. Thread-safe once built; a RegexScan is for one thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace nibble {

class Regex {
 public:
  // `pattern` is in Oniguruma's syntax; `source` is the file shown in errors. Throws Error.
  static Regex compile(std::string_view pattern, const std::string& source);
  // Finds just this text.
  static Regex literal(std::string_view text, const std::string& source);

  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

 private:
  friend class RegexScan;
  struct Program;
  explicit Regex(std::unique_ptr<Program> program);

  std::unique_ptr<Program> program_;
};

// The scratch space of one Regex in use, and its matches in one text after the other.
class RegexScan {
 public:
  explicit RegexScan(const Regex& regex);
  ~RegexScan();
  RegexScan(const RegexScan&) = delete;
  RegexScan& operator=(const RegexScan&) = delete;

  // `text` must be valid UTF-8 and live while it is scanned.
  void start(std::string_view text);
  // The next match from left to right; an empty match right behind the last match is passed over.
  // Throws Error when a search takes too many steps or too much memory.
  bool next(size_t& begin, size_t& end);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nibble
