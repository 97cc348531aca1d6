// SPDX-License-Identifier: Apache-2.0
//
// From a name to a Backend. The list is explicit: one guarded line per backend that is built in.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/backend/backend.h"
#include "nibble/base/thread_pool.h"

namespace nibble {

// "cpu" (the fast kernels) or "reference" (slow, readable, the truth that kernels are compared
// with). Throws Error for a name that is unknown or not built in, listing those that are.
// The pool outlives the backend by shared ownership; null makes one with all processors.
std::unique_ptr<Backend> make_backend(std::string_view name,
                                      std::shared_ptr<ThreadPool> pool = nullptr);

std::vector<std::string> backend_names();

}  // namespace nibble
