// SPDX-License-Identifier: Apache-2.0
//
// The fields of one entry of a task's file, read with errors that name file, line and field.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/base/error.h"

namespace nibble {

class QuestionFields {
 public:
  // `entry` must outlive it; `where` is the file that errors show. Throws Error when `entry` is no
  // object.
  QuestionFields(const nlohmann::ordered_json& entry, std::filesystem::path where);

  // All throw Error when the field is missing or of another kind.
  QuestionFields object(const std::string& name) const;
  std::string text(const std::string& name) const;
  std::vector<std::string> texts(const std::string& name) const;         // at least one
  std::vector<bool> flags(const std::string& name, size_t count) const;  // 0 or 1 each

  // The place, from 0, of an answer that the file counts from `first`: a number, or its digits as
  // text, as data sets have both.
  size_t answer(const std::string& name, int64_t first, size_t count) const;
  // The same for an answer named by its label.
  size_t answer(const std::string& name, std::span<const std::string> labels) const;

  Error error(const std::string& name, const std::string& what_failed = "bad value of") const;

 private:
  const nlohmann::ordered_json& at(const std::string& name) const;

  const nlohmann::ordered_json& entry_;
  std::filesystem::path where_;
  std::string prefix_;  // "choices." inside an object of that name
};

}  // namespace nibble
