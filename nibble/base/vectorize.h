// SPDX-License-Identifier: Apache-2.0
//
// NIBBLE_VECTORIZED before a function whose loops a compiler vectorizes: it is compiled for several
// levels of x86-64, and the program takes the best that the processor has when it starts. The
// result is the same on all of them, since nothing may be contracted or reassociated.
// For plain loops over memory, as in quantizing; kernels that are written for SIMD are in
// backend/cpu.
#pragma once

#include <cstddef>  // says which C library this is

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define NIBBLE_SANITIZED 1  // the choice would be made before the sanitizer is ready
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define NIBBLE_SANITIZED 1
#endif
#endif

// Before what such a function calls in its loops: a call would end the vectorization.
#define NIBBLE_INLINE [[gnu::always_inline]] inline

#if defined(__x86_64__) && defined(__GLIBC__) && !defined(NIBBLE_SANITIZED)
#define NIBBLE_VECTORIZED \
  __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define NIBBLE_VECTORIZED
#endif
