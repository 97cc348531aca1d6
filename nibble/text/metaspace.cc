// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/metaspace.h"

#include "nibble/base/utf8.h"

namespace nibble {

Metaspace::Metaspace(const ComponentConfig& config) : split(config.flag_or("split", true)) {
  append_utf8(replacement, config.character("replacement"));
  const std::string scheme = config.text_or("prepend_scheme", "always");
  if (scheme == "first") {
    prepend = Prepend::kFirst;
  } else if (scheme == "never") {
    prepend = Prepend::kNever;
  } else if (scheme != "always") {
    throw config.error("has an unknown prepend_scheme").got(scheme);
  }
  if (!config.flag_or("add_prefix_space", true)) {
    if (config.has("prepend_scheme") && prepend != Prepend::kNever) {
      throw config.error("has add_prefix_space false beside another prepend_scheme").got(scheme);
    }
    prepend = Prepend::kNever;
  }
}

}  // namespace nibble
