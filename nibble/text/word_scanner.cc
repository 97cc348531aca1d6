// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/word_scanner.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>

#include "nibble/base/utf8.h"
#include "nibble/text/character_table.h"
#include "nibble/text/pretokenizer.h"

namespace nibble {
namespace {

constexpr std::array<CharacterKind, 128> kAsciiKinds = [] {
  std::array<CharacterKind, 128> kinds{};
  for (int c = 0; c < 128; ++c) {
    const bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    kinds[c] = letter                 ? CharacterKind::kLetter
               : c >= '0' && c <= '9' ? CharacterKind::kNumber
               : space                ? CharacterKind::kSpace
                                      : CharacterKind::kOther;
  }
  return kinds;
}();

// The high bit of each byte of `bytes` that is no ASCII letter.
uint64_t non_letters(uint64_t bytes) {
  constexpr uint64_t kOnes = 0x0101010101010101u, kHigh = 0x80 * kOnes;
  const uint64_t small = (bytes | (0x20 * kOnes)) & ~kHigh;
  const uint64_t from_a = small + (0x80 - 'a') * kOnes;
  const uint64_t behind_z = small + (0x80 - ('z' + 1)) * kOnes;
  return ~(from_a & ~behind_z & ~bytes) & kHigh;
}

// A part of a text, read by kinds of characters.
class Reader {
 public:
  Reader(const CharacterTable& table, std::string_view text) : table_(table), text_(text) {}

  size_t size() const { return text_.size(); }
  char byte(size_t at) const { return text_[at]; }
  bool has(size_t at, char byte) const { return at < text_.size() && text_[at] == byte; }
  bool starts_with(size_t at, std::string_view what) const {
    return text_.substr(at).starts_with(what);
  }

  // The kind of the character at `at`, which moves behind it.
  CharacterKind take(size_t& at) const {
    const auto lead = static_cast<uint8_t>(text_[at]);
    if (lead < 0x80) {
      ++at;
      return kAsciiKinds[lead];
    }
    return table_.kind(next_code_point(text_, at));
  }

  bool is(size_t at, CharacterKind kind) const { return at < text_.size() && take(at) == kind; }

  // The end of the characters of one kind from `at` on, of at most `limit` of them.
  size_t run(size_t at, CharacterKind kind,
             size_t limit = std::numeric_limits<size_t>::max()) const {
    for (size_t next = at; limit > 0 && at < text_.size(); at = next, --limit) {
      if (take(next) != kind) break;
    }
    return at;
  }

  // The same for letters: eight ASCII letters at a time.
  size_t letters(size_t at) const {
    for (;;) {
      while (at + 8 <= text_.size()) {
        uint64_t bytes;
        std::memcpy(&bytes, text_.data() + at, 8);
        if constexpr (std::endian::native == std::endian::big) bytes = __builtin_bswap64(bytes);
        const uint64_t others = non_letters(bytes);
        if (others == 0) {
          at += 8;
          continue;
        }
        at += static_cast<size_t>(std::countr_zero(others)) / 8;
        if (static_cast<uint8_t>(text_[at]) < 0x80) return at;
        break;
      }
      if (at == text_.size()) return at;
      size_t next = at;
      if (take(next) != CharacterKind::kLetter) return at;
      at = next;
    }
  }

  // White space from `at` on. `last` gets the start of its last character.
  size_t spaces(size_t at, size_t& last) const {
    for (size_t next = at; at < text_.size(); at = next) {
      if (take(next) != CharacterKind::kSpace) break;
      last = at;
    }
    return at;
  }

  // \s+(?!\S)|\s+ at white space from `at` to `end`: all of it at the end of the text, else all but
  // its last character, which goes with what follows, unless it is the only one.
  size_t space_word(size_t at, size_t end, size_t last) const {
    return end == text_.size() || last == at ? end : last;
  }

  // 's|'t|'re|'ve|'m|'ll|'d at an apostrophe: the end, or `at` when there is none of them.
  size_t contraction(size_t at, bool any_case) const {
    const auto letter = [&](size_t i) {
      const char c = i < text_.size() ? text_[i] : '\0';
      return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    };
    const char first = letter(at + 1), second = letter(at + 2);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
    if ((first == 'r' || first == 'v') && second == 'e') return at + 3;
    if (first == 'l' && second == 'l') return at + 3;
    // The long s is an s in another case.
    if (any_case && starts_with(at + 1, "\xC5\xBF")) return at + 3;
    return at;
  }

 private:
  const CharacterTable& table_;
  std::string_view text_;
};

// The scanner whose words end where `Rules::next(reader, at)` says for the one that starts at `at`;
// a word that ends where it starts is dropped text of one character.
template <class Rules>
class KnownScanner : public WordScanner {
 public:
  explicit KnownScanner(Rules rules) : rules_(rules) {}

  void scan(std::string_view text, TextSpan part, WordSink& sink) const override {
    const Reader reader(table_, part.of(text));
    for (size_t at = 0; at < reader.size();) {
      const size_t end = rules_.next(reader, at);
      if (end != at) {
        sink.add(part.begin + at, part.begin + end);
        at = end;
      } else {
        at += utf8_length(reader.byte(at));
      }
    }
  }

 private:
  CharacterTable table_;
  Rules rules_;
};

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
struct Gpt2Rules {
  size_t next(const Reader& reader, size_t at) const {
    if (reader.byte(at) == '\'') {
      if (const size_t end = reader.contraction(at, false); end != at) return end;
    }
    size_t body = at;
    if (reader.byte(at) == ' ' && at + 1 < reader.size()) ++body;
    size_t second = body;
    const CharacterKind kind = reader.take(second);
    if (kind == CharacterKind::kLetter) return reader.letters(second);
    if (kind != CharacterKind::kSpace) return reader.run(second, kind);
    size_t last = at;
    const size_t end = reader.spaces(at, last);
    return reader.space_word(at, end, last);
  }
};

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}
//   | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
struct Cl100kRules {
  size_t digits;

  static bool is_newline(char c) { return c == '\r' || c == '\n'; }

  size_t next(const Reader& reader, size_t at) const {
    const char lead = reader.byte(at);
    if (lead == '\'') {
      if (const size_t end = reader.contraction(at, true); end != at) return end;
    }
    size_t second = at;
    const CharacterKind kind = reader.take(second);
    if (kind == CharacterKind::kLetter) return reader.letters(second);
    if (kind == CharacterKind::kNumber)
      return reader.run(second, CharacterKind::kNumber, digits - 1);
    if (!is_newline(lead)) {
      size_t third = second;
      const CharacterKind following =
          second < reader.size() ? reader.take(third) : CharacterKind::kSpace;
      if (following == CharacterKind::kLetter) return reader.letters(third);
      if (kind == CharacterKind::kOther || (lead == ' ' && following == CharacterKind::kOther)) {
        size_t end = reader.run(second, CharacterKind::kOther);
        while (end < reader.size() && is_newline(reader.byte(end))) ++end;
        return end;
      }
    }
    size_t last = at;
    const size_t end = reader.spaces(at, last);
    for (size_t i = end; i > at; --i) {
      if (is_newline(reader.byte(i - 1))) return i;
    }
    return reader.space_word(at, end, last);
  }
};

// <\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+
struct ClipRules {
  size_t next(const Reader& reader, size_t at) const {
    if (reader.byte(at) == '<') {
      for (std::string_view special : {"<|startoftext|>", "<|endoftext|>"}) {
        if (reader.starts_with(at, special)) return at + special.size();
      }
    }
    if (reader.byte(at) == '\'') {
      if (const size_t end = reader.contraction(at, false); end != at) return end;
    }
    size_t second = at;
    const CharacterKind kind = reader.take(second);
    if (kind == CharacterKind::kLetter) return reader.letters(second);
    if (kind == CharacterKind::kNumber) return second;
    return kind == CharacterKind::kSpace ? at : reader.run(second, CharacterKind::kOther);
  }
};

template <class Rules>
std::unique_ptr<WordScanner> make(Rules rules) {
  return std::make_unique<KnownScanner<Rules>>(rules);
}

constexpr std::string_view kClip =
    R"(<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)";

}  // namespace

std::unique_ptr<WordScanner> make_known_scanner(std::string_view pattern, bool gaps) {
  if (pattern == kGpt2Pattern) return make(Gpt2Rules());
  if (pattern == kClip && !gaps) return make(ClipRules());
  // The other family differs in how many digits stay together, and in spelling.
  struct Known {
    std::string_view pattern;
    size_t digits;
  };
  static constexpr Known kCl100k[] = {
      {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})"
       R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
       3},
      {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})"
       R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
       1},
      {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3})"
       R"(| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)",
       3},
  };
  for (const Known& known : kCl100k) {
    if (pattern == known.pattern) return make(Cl100kRules{known.digits});
  }
  return nullptr;
}

}  // namespace nibble
