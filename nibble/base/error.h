// SPDX-License-Identifier: Apache-2.0
//
// The one exception type of the library. An Error reads as one line: file, tensor, what failed,
// what was expected, what came, where, and what to do. It is thrown at load, shape and API edges;
// the library itself never prints, exits or aborts.
#pragma once

#include <cstdint>
#include <exception>
#include <filesystem>
#include <string>

namespace nibble {

// Build it fluently and throw it:
//   throw Error("tensor has the wrong shape").file(path).tensor(name).expected("[4, 8]").got("[8,
//   4]");
class Error : public std::exception {
 public:
  // `what_failed` is a short phrase without a full stop, lower case unless a name starts it.
  explicit Error(std::string what_failed);

  Error& file(const std::filesystem::path& path);
  Error& tensor(std::string name);
  Error& expected(std::string value);
  Error& got(std::string value);
  Error& at_byte(int64_t offset);
  Error& hint(std::string advice);  // what the user can do about it

  // "FILE: tensor 'NAME': WHAT: expected E, got G (at byte N); HINT". Whatever hostile input is in
  // them, the message is one printable line (printable.h).
  const char* what() const noexcept override { return message_.c_str(); }

  bool has_file() const { return !file_.empty(); }

 private:
  void compose();

  std::string what_failed_, file_, tensor_, expected_, got_, hint_;
  int64_t offset_ = -1;
  std::string message_;
};

// Thrown out of a long job when the caller's Progress asked to stop (Ctrl-C).
class Interrupted : public Error {
 public:
  Interrupted();
};

}  // namespace nibble
