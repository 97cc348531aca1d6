// SPDX-License-Identifier: Apache-2.0
//
// tokenizer_bench TOKENIZER TEXT [--rounds N] [--on-request]
//
// Speed of encoding a text file on one thread, in MB/s (10^6 bytes): as one text, line by line, and
// as the first text that a new tokenizer sees (its word cache is empty). TOKENIZER is a folder or a
// tokenizer.json. Medians over the rounds. With --on-request each line "whole", "lines" or "first"
// on standard input asks for one pass, answered by its seconds and number of ids, so that
// peers/tokenizer_peer.py can take turns with another library.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "nibble/base/mapped_file.h"
#include "nibble/text/tokenizer.h"

namespace {

using namespace nibble;

std::string read_file(const std::string& path) {
  const auto file = MappedFile::open(path);
  return {reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()};
}

std::shared_ptr<const Tokenizer> open_tokenizer(const std::string& path) {
  if (std::filesystem::is_directory(path)) return Tokenizer::load(path);
  return Tokenizer::from_json(read_file(path), path);
}

struct Pass {
  double seconds;
  size_t ids;
};

class Bench {
 public:
  Bench(std::string tokenizer_path, const std::string& text_path)
      : path_(std::move(tokenizer_path)),
        tokenizer_(open_tokenizer(path_)),
        text_(read_file(text_path)) {
    for (size_t at = 0; at < text_.size();) {
      const size_t end = std::min(text_.find('\n', at), text_.size() - 1) + 1;
      lines_.push_back(std::string_view(text_).substr(at, end - at));
      at = end;
    }
  }

  double megabytes() const { return static_cast<double>(text_.size()) * 1e-6; }

  Pass pass(const std::string& kind) const {
    if (kind == "lines") return time(*tokenizer_, lines_);
    const std::string_view whole = text_;
    return time(kind == "first" ? *open_tokenizer(path_) : *tokenizer_, {&whole, 1});
  }

 private:
  static Pass time(const Tokenizer& tokenizer, std::span<const std::string_view> texts) {
    size_t ids = 0;
    const auto start = std::chrono::steady_clock::now();
    for (std::string_view text : texts) {
      ids += tokenizer.encode(text, {.add_special_tokens = false}).size();
    }
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    return {taken.count(), ids};
  }

  std::string path_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::string text_;
  std::vector<std::string_view> lines_;  // of text_, with their line feeds
};

void answer_requests(const Bench& bench) {
  for (std::string kind; std::getline(std::cin, kind);) {
    const Pass pass = bench.pass(kind);
    fmt::print("{:.9f} {}\n", pass.seconds, pass.ids);
    std::fflush(stdout);
  }
}

void print_medians(const Bench& bench, int rounds) {
  for (const char* kind : {"first", "whole", "lines"}) {
    std::vector<double> seconds;
    size_t ids = 0;
    for (int round = 0; round < rounds; ++round) {
      const Pass pass = bench.pass(kind);
      seconds.push_back(pass.seconds);
      ids = pass.ids;
    }
    std::nth_element(seconds.begin(), seconds.begin() + rounds / 2, seconds.end());
    fmt::print("{}: {:.1f} MB/s, {} ids\n", kind, bench.megabytes() / seconds[rounds / 2], ids);
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> paths;
  int rounds = 9;
  bool on_request = false;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--on-request") {
      on_request = true;
    } else if (option == "--rounds" && i + 1 < argc) {
      rounds = std::atoi(argv[++i]);
    } else {
      paths.push_back(option);
    }
  }
  if (paths.size() != 2 || rounds < 1) {
    fmt::print(stderr, "usage: tokenizer_bench TOKENIZER TEXT [--rounds N] [--on-request]\n");
    return 2;
  }
  try {
    const Bench bench(paths[0], paths[1]);
    if (on_request) {
      answer_requests(bench);
    } else {
      print_medians(bench, rounds);
    }
  } catch (const std::exception& failure) {
    fmt::print(stderr, "tokenizer_bench: {}\n", failure.what());
    return 1;
  }
  return 0;
}
