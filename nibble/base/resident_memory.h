// SPDX-License-Identifier: Apache-2.0
//
// How much physical memory this process holds, pages of mapped files included. The system is asked
// (/proc of Linux); where it does not say, the answer is "unknown" and not a guess.
#pragma once

#include <cstdint>
#include <optional>

namespace nibble {

struct ResidentMemory {
  std::optional<int64_t> bytes;       // now (VmRSS); absent: unknown
  std::optional<int64_t> peak_bytes;  // the most so far (VmHWM); absent: unknown
};

ResidentMemory resident_memory();

// Makes the peak begin anew from what is resident now. False where the system does not allow it:
// then the peak stays that of the whole life of the process.
bool reset_peak_resident_memory();

// Gives back to the system what was freed and the allocator keeps for later, where it can (glibc):
// else the memory of what is gone would be counted to what follows.
void return_freed_memory();

}  // namespace nibble
