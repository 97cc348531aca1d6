// SPDX-License-Identifier: Apache-2.0
#include "cli/output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "nibble/nibble.h"

namespace nibble::cli {
namespace {

// Terminal columns of UTF-8 text, near enough for names: one per code point.
size_t width_of(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

}  // namespace

void print(std::string_view text) {
  errno = 0;
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (written && std::fflush(stdout) == 0) return;
  if (errno == EPIPE) throw OutputClosed();
  throw Error("cannot write to standard output").got(std::strerror(errno));
}

void print_json(const nlohmann::ordered_json& document) {
  // Text of a model may hold broken UTF-8 where an id is half a character.
  print(document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

void warn(std::string_view text) { fmt::print(stderr, "nibble: warning: {}\n", printable(text)); }

void note(std::string_view text, bool quiet) {
  if (!quiet) fmt::print(stderr, "{}\n", printable(text));
}

std::string format_bytes(int64_t bytes) {
  constexpr const char* kUnits[] = {"kB", "MB", "GB", "TB"};
  if (bytes < 1000) return fmt::format("{} bytes", bytes);
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  for (; value >= 999.995 && unit + 1 < std::size(kUnits); ++unit) value /= 1000;
  return fmt::format("{:.2f} {}", value, kUnits[unit]);
}

std::string format_count(int64_t count) {
  std::string digits = fmt::format("{}", count);
  for (size_t i = digits.size(); i > 3 && digits[i - 4] != '-';) {
    i -= 3;
    digits.insert(i, ",");
  }
  return digits;
}

std::string format_seconds(double seconds) {
  if (seconds < 60) return fmt::format("{:.2f} s", seconds);
  const auto whole = static_cast<int64_t>(seconds);
  if (whole < 3600) return fmt::format("{}:{:02} min", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02} h", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string escape_markup(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else {
      out += c;
    }
  }
  return out;
}

void Table::add(std::vector<std::string> cells) {
  for (std::string& cell : cells) cell = printable(cell);
  rows_.push_back(std::move(cells));
}

std::string Table::text() const {
  std::vector<size_t> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    size_t width = width_of(columns_[i].title);
    for (const auto& row : rows_) width = std::max(width, width_of(row[i]));
    widths.push_back(width);
  }
  std::string out;
  const auto add_row = [&](const auto& cell_of) {
    std::string line;
    for (size_t i = 0; i < columns_.size(); ++i) {
      const std::string& cell = cell_of(i);
      const std::string padding(widths[i] - width_of(cell), ' ');
      if (i > 0) line += "  ";
      line += columns_[i].right ? padding + cell : cell + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  };
  add_row([&](size_t i) -> const std::string& { return columns_[i].title; });
  for (const auto& row : rows_) {
    add_row([&](size_t i) -> const std::string& { return row[i]; });
  }
  return out;
}

std::string Table::markdown() const {
  std::string out = "|", rule = "|";
  for (const Column& column : columns_) {
    out += " " + column.title + " |";
    rule += column.right ? "---:|" : "---|";
  }
  out += "\n" + rule + "\n";
  for (const auto& row : rows_) {
    out += "|";
    for (const std::string& cell : row) {
      out += " ";
      for (const char c : cell) out += c == '|' ? std::string("\\|") : std::string(1, c);
      out += " |";
    }
    out += "\n";
  }
  return out;
}

std::string Table::html() const {
  const auto row_of = [&](const char* element, const auto& cell_of) {
    std::string row = "<tr>";
    for (size_t i = 0; i < columns_.size(); ++i) {
      row += fmt::format("<{0}{1}>{2}</{0}>", element, columns_[i].right ? " class=\"number\"" : "",
                         escape_markup(cell_of(i)));
    }
    return row + "</tr>\n";
  };
  std::string out =
      "<table>\n<thead>" +
      row_of("th", [&](size_t i) -> const std::string& { return columns_[i].title; }) +
      "</thead>\n<tbody>\n";
  for (const auto& row : rows_) {
    out += row_of("td", [&](size_t i) -> const std::string& { return row[i]; });
  }
  return out + "</tbody>\n</table>\n";
}

}  // namespace nibble::cli
