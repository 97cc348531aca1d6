// SPDX-License-Identifier: Apache-2.0
//
// Which instruction set the kernels run on: the best that the processor has, unless limited by
// set_cpu_target or, when the backend is made, by the environment variable NIBBLE_CPU
// ("avx3" is AVX-512; "avx2", "sse4", "scalar"; on Arm "neon"). The choice holds for the process.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace nibble::cpu {

// Those built in that this processor has, best first.
std::vector<std::string> available_targets();

std::string current_target();

// Uses `name` and nothing better; throws Error when it is not available. "" lifts the limit.
// Not to be called while kernels run.
void set_cpu_target(std::string_view name);

}  // namespace nibble::cpu
