// SPDX-License-Identifier: Apache-2.0
#include "nibble/backend/registry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "nibble/backend/cpu/cpu_backend.h"
#include "nibble/backend/reference/reference_backend.h"
#include "nibble/base/error.h"

namespace nibble {

std::vector<std::string> backend_names() { return {"cpu", "reference"}; }

std::unique_ptr<Backend> make_backend(std::string_view name, std::shared_ptr<ThreadPool> pool) {
  if (name == "cpu") {
    return make_cpu_backend(pool ? std::move(pool) : std::make_shared<ThreadPool>());
  }
  if (name == "reference") return make_reference_backend();
  throw Error("unknown backend")
      .expected(fmt::format("one of {}", fmt::join(backend_names(), ", ")))
      .got(std::string(name));
}

}  // namespace nibble
