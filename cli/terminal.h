// SPDX-License-Identifier: Apache-2.0
//
// Ctrl-C and progress. The signal handler sets a flag and nothing else; jobs look at it in
// Progress::advance() and in the token callback and leave by the exception Interrupted, so that
// unfinished output is removed on the way out. A second Ctrl-C ends the process at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "nibble/nibble.h"

namespace nibble::cli {

void install_signal_handlers();
bool interrupted();
void clear_interrupt();
void throw_if_interrupted();  // throws Interrupted

// A bar with the time left on a terminal, a line now and then elsewhere, on stderr, with the speed
// of jobs that count bytes; silent when quiet, and for jobs of less than half a second.
class ProgressBar : public Progress {
 public:
  explicit ProgressBar(bool quiet);
  ~ProgressBar() override { end(); }

  void begin(std::string_view what, int64_t total, Unit unit) override;
  void advance(int64_t units, std::string_view item) override;
  void skip(int64_t units) override;
  void end() override;

 private:
  using Clock = std::chrono::steady_clock;

  std::string amounts(double elapsed) const;
  void draw_bar(std::string_view item, double elapsed);

  bool quiet_, on_terminal_;
  std::string what_;
  Unit unit_ = Unit::kSteps;
  int64_t total_ = 0, done_ = 0, skipped_ = 0;
  Clock::time_point start_, drawn_;
  bool shown_ = false;
};

}  // namespace nibble::cli
