// SPDX-License-Identifier: Apache-2.0
//
// The short names under which `bench` and `compare` know ways to hold a model's weights.
#pragma once

#include <string>
#include <vector>

#include "cli/options.h"
#include "nibble/nibble.h"

namespace nibble::cli {

// plain, int8, llm.int8, nf4, nf4-dq, fp4
std::vector<std::string> bench_scheme_names();

// --schemes a,b. The command has the loading options already, of which it excludes those that say
// a scheme.
void add_scheme_option(CLI::App& command, std::vector<std::string>& schemes,
                       const std::string& description);

// The loading options of a scheme of that list; what `loading` says besides the scheme stays.
LoadingOptions with_scheme(const LoadingOptions& loading, const std::string& name);

// The name of what an opened model's weights are in, by its first packed Linear.
std::string scheme_of(const Model& model);

}  // namespace nibble::cli
