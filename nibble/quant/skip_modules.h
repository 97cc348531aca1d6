// SPDX-License-Identifier: Apache-2.0
//
// Which modules of a model a quantization leaves alone, by the rules of transformers: the list that
// it makes by itself, how the user's list goes with it, and the matching of names against the
// result. Knows names only.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nibble/quant/module_pattern.h"
#include "nibble/quant/quantization_facts.h"

namespace nibble {

// Release 5 changed the rules; files made under release 4 are still about. What nibble does by
// itself follows release 5 (5.23).
enum class HfRelease { kV4, kV5 };

// What the automatic list is made from.
struct ModelNames {
  // Parameters that share another's tensor, under both names: {"lm_head.weight",
  // "model.embed_tokens.weight"}.
  std::vector<std::pair<std::string, std::string>> tied;
  std::string last_parameter;     // in the order of named_parameters(), without tied duplicates
  std::string output_embeddings;  // a module; "" for a model without a language head
};

// Release 5: every name of a tied pair, the output embedding, and the last parameter, less
// ".weight" (a bias stays a bias, and then names no module). Release 4: the tied names with the
// owner of the last parameter, or without any tied the output embedding alone. Sorted.
std::vector<std::string> automatic_skip_modules(const ModelNames& names, HfRelease release);

// The whole list for a config: its own, the automatic one where that applies, and `keep_in_fp32`,
// the modules that the model's class always keeps plain.
std::vector<std::string> modules_to_not_convert(const QuantizationFacts& facts,
                                                const ModelNames& names,
                                                const std::vector<std::string>& keep_in_fp32,
                                                HfRelease release);

// Matches module paths against a list. Release 5: an entry is a regular expression that matches
// from the start of the path to the end of a component, or is the end of the path as it stands.
// Release 4: an entry is the path, its last component, or comes with a "." behind it anywhere.
class SkipMatcher {
 public:
  // Throws Error for an entry that is no regular expression (release 5).
  explicit SkipMatcher(std::vector<std::string> entries, HfRelease release = HfRelease::kV5);

  // Throws Error when an expression backtracks without end.
  bool skips(std::string_view path) const;

 private:
  std::vector<std::string> entries_;
  std::vector<ModulePattern> patterns_;  // one for each entry under release 5
};

}  // namespace nibble
