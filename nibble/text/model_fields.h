// SPDX-License-Identifier: Apache-2.0
//
// Reading the "model" object of tokenizer.json, whose vocabulary may have 300,000 entries; what
// every kind of model shares. An error names the file and the kind of model.
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <optional>
#include <string>

#include "nibble/base/error.h"
#include "nibble/text/vocabulary.h"

namespace nibble {

class ModelFields {
 public:
  // `kind` is the model's type ("BPE"); `source` is the file shown in errors. Both must outlive
  // this, and so must the parser of `object`.
  ModelFields(simdjson::dom::object object, const char* kind, const std::string& source)
      : object_(object), kind_(kind), source_(source) {}

  const std::string& source() const { return source_; }

  // Absent members and null give nullopt; members of the wrong type throw Error.
  std::optional<simdjson::dom::element> find(const char* key) const;
  std::optional<bool> flag(const char* key) const;
  std::optional<std::string> text(const char* key) const;
  std::optional<int64_t> count(const char* key) const;  // not negative

  std::string required_text(const char* key) const;

  // "vocab" as an object from tokens to ids; throws Error when it is malformed.
  Vocabulary vocabulary() const;

  // "the BPE model ..." with the file, ready to be thrown.
  Error error(const std::string& problem) const;

 private:
  simdjson::dom::object object_;
  const char* kind_;
  const std::string& source_;
};

}  // namespace nibble
