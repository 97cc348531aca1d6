// SPDX-License-Identifier: Apache-2.0
//
// What a call says when it throws nibble::Error; "no error" when it does not.
#pragma once

#include <functional>
#include <string>

#include "nibble/base/error.h"

namespace nibble::testing {

inline std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace nibble::testing
