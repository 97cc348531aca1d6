// SPDX-License-Identifier: Apache-2.0
//
// The state behind the `loop` variable: counts items and looks one ahead, on demand.
#pragma once

#include <memory>
#include <optional>

#include "nibble/text/jinja/operators.h"
#include "nibble/text/jinja/value.h"

namespace nibble::jinja {

class LoopState : public std::enable_shared_from_this<LoopState> {
 public:
  // `length` is known beforehand for lists; else items are read ahead when it is asked for.
  LoopState(Puller pull, std::optional<int64_t> length, int depth)
      : pull_(std::move(pull)), length_(length), depth_(depth) {}

  // Moves to the next item and returns it.
  std::optional<Value> next();

  // The value templates see. `recurse` renders the loop's body for other items; empty unless the
  // loop is recursive.
  Value object(std::function<Value(Interpreter&, const Arguments&)> recurse, int value_depth);

  // Drops what loop.changed() remembers, which may be the loop itself.
  void forget() { changed_.reset(); }

 private:
  std::optional<Value> attribute(std::string_view name);
  std::optional<Value> method(std::string_view name);
  const std::optional<Value>& peek();
  int64_t length();

  Puller pull_;
  std::optional<int64_t> length_;
  int depth_;  // 0 for a loop that is not inside its own recursion
  int64_t index_ = -1;
  std::optional<Value> before_, current_, after_, changed_;
  std::vector<Value> ahead_;  // read by length(), last first
  bool exhausted_ = false;
};

}  // namespace nibble::jinja
