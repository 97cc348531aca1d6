// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/pickle_value.h"

#include <array>

namespace nibble {

std::string_view kind_name(PickleValue::Kind kind) {
  constexpr std::array<std::string_view, 13> kNames{
      "None",   "a bool",  "an integer",     "a string", "a value",   "a tuple", "a list",
      "a dict", "a class", "a storage type", "a dtype",  "a storage", "a tensor"};
  return kNames[static_cast<size_t>(kind)];
}

}  // namespace nibble
