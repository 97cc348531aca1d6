// SPDX-License-Identifier: Apache-2.0
#include "nibble/base/error.h"

#include <fmt/format.h>

#include <utility>

namespace nibble {
namespace {

// Long enough for any honest name; a hostile one must not flood the terminal.
constexpr size_t kMaxShown = 200;

std::string printable(std::string_view text) {
  std::string out;
  for (unsigned char c : text.substr(0, kMaxShown)) {
    if (c < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", c);
    } else {
      out += static_cast<char>(c);
    }
  }
  if (text.size() > kMaxShown) out += "...";
  return out;
}

}  // namespace

Error::Error(std::string what_failed) : what_failed_(std::move(what_failed)) { compose(); }

Error& Error::file(const std::filesystem::path& path) {
  file_ = path.string();
  compose();
  return *this;
}

Error& Error::tensor(std::string name) {
  tensor_ = std::move(name);
  compose();
  return *this;
}

Error& Error::expected(std::string value) {
  expected_ = std::move(value);
  compose();
  return *this;
}

Error& Error::got(std::string value) {
  got_ = std::move(value);
  compose();
  return *this;
}

Error& Error::at_byte(int64_t offset) {
  offset_ = offset;
  compose();
  return *this;
}

Error& Error::hint(std::string advice) {
  hint_ = std::move(advice);
  compose();
  return *this;
}

void Error::compose() {
  message_.clear();
  // Paths may be long and must stay whole to be of use.
  if (!file_.empty()) {
    for (unsigned char c : file_) message_ += c < 0x20 ? '?' : static_cast<char>(c);
    message_ += ": ";
  }
  if (!tensor_.empty()) message_ += fmt::format("tensor '{}': ", printable(tensor_));
  std::string body = what_failed_;
  for (char& c : body) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  message_ += body;
  if (!expected_.empty()) message_ += ": expected " + printable(expected_);
  if (!got_.empty()) message_ += (expected_.empty() ? ": got " : ", got ") + printable(got_);
  if (offset_ >= 0) message_ += fmt::format(" (at byte {})", offset_);
  if (!hint_.empty()) message_ += "; " + hint_;
}

Interrupted::Interrupted() : Error("interrupted") {}

}  // namespace nibble
