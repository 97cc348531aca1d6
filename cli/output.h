// SPDX-License-Identifier: Apache-2.0
//
// What the program writes: results to stdout, everything else to stderr. Names in warnings, notes
// and tables come from files and are made printable. A reader that closes the pipe ends the program
// quietly (OutputClosed); any other failure to write is an error.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace nibble::cli {

// The command line asks for something that does not exist or does not fit together: exit code 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Whoever read stdout is gone.
class OutputClosed : public std::exception {};

void print(std::string_view text);  // to stdout, flushed
void print_json(const nlohmann::ordered_json& document);
void warn(std::string_view text);              // "nibble: warning: ..." to stderr
void note(std::string_view text, bool quiet);  // a line on stderr unless quiet

// "1.23 MB" (powers of ten, as file sizes are given), "820 bytes".
std::string format_bytes(int64_t bytes);
std::string format_count(int64_t count);  // "1,234,567"
std::string format_seconds(double seconds);

// For HTML and SVG: text in elements and in quoted attributes.
std::string escape_markup(std::string_view text);

// Columns as wide as their widest cell; numbers to the right, text to the left.
class Table {
 public:
  struct Column {
    std::string title;
    bool right = false;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  void add(std::vector<std::string> cells);
  std::string text() const;
  std::string markdown() const;
  std::string html() const;  // a <table>

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace nibble::cli
