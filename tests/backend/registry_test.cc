// SPDX-License-Identifier: Apache-2.0
#include "nibble/backend/registry.h"

#include <gtest/gtest.h>

#include "nibble/backend/cpu/target.h"
#include "nibble/base/error.h"

namespace nibble {
namespace {

TEST(Registry, MakesEveryBackendItNames) {
  for (const std::string& name : backend_names()) EXPECT_EQ(make_backend(name)->name(), name);
}

TEST(Registry, AnUnknownNameListsTheKnown) {
  try {
    make_backend("tpu");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("cpu, reference"), std::string::npos);
  }
}

TEST(CpuTarget, AnUnknownNameListsTheAvailable) {
  try {
    cpu::set_cpu_target("mmx");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(cpu::available_targets().front()), std::string::npos);
  }
}

}  // namespace
}  // namespace nibble
