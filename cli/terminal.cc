// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "cli/output.h"

namespace nibble::cli {
namespace {

// What a signal handler may touch.
volatile sig_atomic_t interrupt_flag = 0;

constexpr int kInterruptedExitCode = 130;

extern "C" void on_interrupt(int) {
  if (interrupt_flag) _exit(kInterruptedExitCode);
  interrupt_flag = 1;
}

size_t terminal_width() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

std::string clock_text(double seconds) {
  const auto whole = static_cast<int64_t>(std::ceil(seconds));
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

}  // namespace

void install_signal_handlers() {
  struct sigaction action{};
  action.sa_handler = on_interrupt;  // no SA_RESTART: a read from the terminal must return
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  action.sa_handler = SIG_IGN;  // a closed pipe shows as a failed write, see output.h
  sigaction(SIGPIPE, &action, nullptr);
}

bool interrupted() { return interrupt_flag != 0; }

void clear_interrupt() { interrupt_flag = 0; }

void throw_if_interrupted() {
  if (interrupted()) throw Interrupted();
}

ProgressBar::ProgressBar(bool quiet) : quiet_(quiet), on_terminal_(isatty(STDERR_FILENO) == 1) {}

void ProgressBar::begin(std::string_view what, int64_t total, Unit unit) {
  end();
  throw_if_interrupted();
  what_ = what;
  unit_ = unit;
  total_ = std::max<int64_t>(1, total);
  done_ = skipped_ = 0;
  start_ = drawn_ = Clock::now();
}

void ProgressBar::skip(int64_t units) {
  throw_if_interrupted();
  const int64_t counted = std::min(units, total_ - done_);
  done_ += counted;
  skipped_ += counted;
}

void ProgressBar::advance(int64_t units, std::string_view item) {
  throw_if_interrupted();
  done_ = std::min(total_, done_ + units);
  if (quiet_) return;
  constexpr double kTerminalInterval = 0.1, kLogInterval = 10.0, kFirst = 0.5;  // seconds
  const Clock::time_point now = Clock::now();
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const double since = std::chrono::duration<double>(now - drawn_).count();
  if (since < (!on_terminal_ ? kLogInterval : shown_ ? kTerminalInterval : kFirst)) return;
  drawn_ = now;
  if (on_terminal_) {
    draw_bar(item, elapsed);
  } else {
    const double share = static_cast<double>(done_) / static_cast<double>(total_);
    fmt::print(stderr, "{}: {}% ({})\n", what_, static_cast<int>(100 * share), amounts(elapsed));
  }
}

// "12/290, 0:05 left", or "1.20 GB of 2.20 GB, 410.00 MB/s, 0:05 left".
std::string ProgressBar::amounts(double elapsed) const {
  const auto done = static_cast<double>(done_), total = static_cast<double>(total_);
  const double speed = static_cast<double>(done_ - skipped_) / elapsed;
  const std::string left = speed > 0 ? clock_text((total - done) / speed) : "-:--";
  if (unit_ == Unit::kSteps) return fmt::format("{}/{}, {} left", done_, total_, left);
  return fmt::format("{} of {}, {}/s, {} left", format_bytes(done_), format_bytes(total_),
                     format_bytes(static_cast<int64_t>(speed)), left);
}

void ProgressBar::draw_bar(std::string_view item, double elapsed) {
  constexpr size_t kBarWidth = 24;
  const double share = static_cast<double>(done_) / static_cast<double>(total_);
  const auto filled = static_cast<size_t>(share * kBarWidth);
  std::string line =
      fmt::format("{} [{:=<{}}{:{}}] {:3}% {}", what_, "", filled, "", kBarWidth - filled,
                  static_cast<int>(100 * share), amounts(elapsed));
  if (!item.empty()) line += fmt::format("  {}", printable(item));
  // Honest names are ASCII; the last column stays free so that no terminal wraps the line.
  const size_t width = terminal_width();
  if (line.size() >= width) line.resize(width - 1);
  fmt::print(stderr, "\r\033[K{}", line);
  std::fflush(stderr);
  shown_ = true;
}

void ProgressBar::end() {
  if (shown_) {
    fmt::print(stderr, "\r\033[K");
    std::fflush(stderr);
  }
  shown_ = false;
}

}  // namespace nibble::cli
