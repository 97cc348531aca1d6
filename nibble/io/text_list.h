// SPDX-License-Identifier: Apache-2.0
//
// Texts to evaluate on or to calibrate with, from a file of the user's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/base/mapped_file.h"

namespace nibble {

// Visits the first `limit` (0: all) texts of a list (io/json_list.h), each of them a string or an
// object with the string "text", or until `visit` says false. Throws Error with file and entry.
void for_each_listed_text(const std::filesystem::path& file, int64_t limit,
                          const std::function<bool(std::string&& text)>& visit);

// All of these texts.
std::vector<std::string> read_text_list(const std::filesystem::path& file, int64_t limit = 0);

// The texts of a list by number, each parsed when it is asked for. Memory holds a .jsonl file's
// places of lines, of a compressed one the decompressed bytes too (at most 4 GiB), and all of a
// .json list.
class TextList {
 public:
  // Throws Error for what is no list, and as the above do.
  explicit TextList(std::filesystem::path file);

  int64_t size() const {
    return static_cast<int64_t>(lines_.empty() ? texts_.size() : lines_.size());
  }
  std::string text(int64_t index) const;

 private:
  struct Line {
    std::string_view json;
    int64_t number;
  };

  std::filesystem::path file_;
  std::shared_ptr<const MappedFile> mapped_;  // of a plain .jsonl file
  std::string content_;                       // of a compressed one
  std::vector<Line> lines_;
  std::vector<std::string> texts_;  // of a .json list
};

}  // namespace nibble
