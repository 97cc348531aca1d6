// SPDX-License-Identifier: Apache-2.0
//
// The fast kernels for this machine's processor: Highway picks the instruction set at run time, a
// thread pool splits rows. Weights are decoded inside the kernels, never a whole matrix per call.
#pragma once

#include <memory>

#include "nibble/backend/backend.h"
#include "nibble/base/thread_pool.h"

namespace nibble {

std::unique_ptr<Backend> make_cpu_backend(std::shared_ptr<ThreadPool> pool);

}  // namespace nibble
