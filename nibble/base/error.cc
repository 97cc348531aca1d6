// SPDX-License-Identifier: Apache-2.0
#include "nibble/base/error.h"

#include <fmt/format.h>

#include <utility>

#include "nibble/base/printable.h"

namespace nibble {
namespace {

// Long enough for any honest name, and for any honest sentence with names in it; a hostile one must
// not flood the terminal.
constexpr size_t kMaxName = 200;
constexpr size_t kMaxSentence = 1000;

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
  if (!file_.empty()) message_ += printable(file_) + ": ";
  if (!tensor_.empty()) message_ += fmt::format("tensor '{}': ", printable(tensor_, kMaxName));
  message_ += printable(what_failed_, kMaxSentence);
  if (!expected_.empty()) message_ += ": expected " + printable(expected_, kMaxName);
  if (!got_.empty())
    message_ += (expected_.empty() ? ": got " : ", got ") + printable(got_, kMaxName);
  if (offset_ >= 0) message_ += fmt::format(" (at byte {})", offset_);
  if (!hint_.empty()) message_ += "; " + printable(hint_, kMaxSentence);
}

Interrupted::Interrupted() : Error("interrupted") {}

}  // namespace nibble
