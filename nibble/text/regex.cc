// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <cstdint>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/base/utf8.h"
#include "nibble/text/regex_syntax.h"

namespace nibble {
namespace {

// Bounds for one search, far above what patterns need that cut text into words: a pattern that goes
// back over its text again and again fails within a second or so instead of running for years.
constexpr uint32_t kMatchLimit = 10'000'000;
constexpr uint32_t kHeapLimitKib = 1024 * 1024;

std::string pcre2_message(int code) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

std::string match_failure(int code) {
  if (code == PCRE2_ERROR_MATCHLIMIT) return "a regular expression takes too long on this text";
  if (code == PCRE2_ERROR_HEAPLIMIT || code == PCRE2_ERROR_NOMEMORY) {
    return "a regular expression takes too much memory on this text";
  }
  return "a regular expression fails on this text: " + pcre2_message(code);
}

}  // namespace

struct Regex::Program {
  ~Program() { pcre2_code_free(code); }

  pcre2_code* code = nullptr;
  std::string source, pattern;
};

Regex::Regex(std::unique_ptr<Program> program) : program_(std::move(program)) {}
Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

Regex Regex::compile(std::string_view pattern, const std::string& source) {
  auto program = std::make_unique<Program>();
  program->source = source;
  program->pattern = pattern;
  std::string translated;
  try {
    translated = oniguruma_to_pcre2(pattern);
  } catch (Error& error) {
    throw error.file(source);
  }
  struct ContextDeleter {
    void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
  };
  const std::unique_ptr<pcre2_compile_context, ContextDeleter> context(
      pcre2_compile_context_create(nullptr));
  if (context == nullptr) throw Error("out of memory for a regular expression").file(source);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int code = 0;
  PCRE2_SIZE offset = 0;
  // Ruby's ^ matches at every line start. Captures are never read.
  program->code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &code, &offset, context.get());
  if (program->code == nullptr) {
    throw Error("a regular expression does not compile: " + pcre2_message(code))
        .file(source)
        .got(program->pattern);
  }
  // Without JIT support in the library the interpreter finds the same, only slower.
  pcre2_jit_compile(program->code, PCRE2_JIT_COMPLETE);
  return Regex(std::move(program));
}

Regex Regex::literal(std::string_view text, const std::string& source) {
  std::string escaped;
  for (char c : text) {
    if (std::string_view("\\^$.|?*+()[]{}-&#/ ").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  return compile(escaped, source);
}

struct RegexScan::State {
  State() = default;
  ~State() {
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  const Regex::Program* program = nullptr;
  pcre2_match_data* data = nullptr;
  pcre2_match_context* context = nullptr;
  std::string_view text;
  size_t from = 0;                           // where the next search starts
  size_t last_end = std::string_view::npos;  // end of the last match
};

RegexScan::RegexScan(const Regex& regex) : state_(std::make_unique<State>()) {
  state_->program = regex.program_.get();
  state_->data = pcre2_match_data_create(1, nullptr);
  state_->context = pcre2_match_context_create(nullptr);
  if (state_->data == nullptr || state_->context == nullptr) {
    throw Error("out of memory for a regular expression");
  }
  pcre2_set_match_limit(state_->context, kMatchLimit);
  pcre2_set_heap_limit(state_->context, kHeapLimitKib);
}

RegexScan::~RegexScan() = default;

void RegexScan::start(std::string_view text) {
  state_->text = text;
  state_->from = 0;
  state_->last_end = std::string_view::npos;
}

bool RegexScan::next(size_t& begin, size_t& end) {
  State& s = *state_;
  while (s.from <= s.text.size()) {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(s.text.data());
    int found = pcre2_match(s.program->code, subject, s.text.size(), s.from, PCRE2_NO_UTF_CHECK,
                            s.data, s.context);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
      // The JIT has a small fixed stack; the interpreter grows on the heap.
      found = pcre2_match(s.program->code, subject, s.text.size(), s.from,
                          PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, s.data, s.context);
    }
    if (found == PCRE2_ERROR_NOMATCH) return false;
    if (found < 0) {
      throw Error(match_failure(found)).file(s.program->source).got(s.program->pattern);
    }
    const PCRE2_SIZE* where = pcre2_get_ovector_pointer(s.data);
    begin = where[0];
    end = where[1];
    if (begin == end && end == s.last_end) {
      if (s.from >= s.text.size()) return false;
      s.from += utf8_length(s.text[s.from]);
      continue;
    }
    s.from = s.last_end = end;
    return true;
  }
  return false;
}

}  // namespace nibble
