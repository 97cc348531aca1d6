// SPDX-License-Identifier: Apache-2.0
#include "nibble/base/cache_folder.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <optional>
#include <string>

#include "nibble/base/error.h"

namespace nibble {
namespace {

// Sets a variable of the environment, or takes it away, for as long as this lives.
class WithVariable {
 public:
  WithVariable(const char* name, const char* value) : name_(name) {
    if (const char* old = ::getenv(name)) old_ = old;
    set(value);
  }
  ~WithVariable() { set(old_ ? old_->c_str() : nullptr); }

 private:
  void set(const char* value) { value == nullptr ? ::unsetenv(name_) : ::setenv(name_, value, 1); }

  const char* name_;
  std::optional<std::string> old_;
};

TEST(CacheFolder, FollowsTheBaseDirectorySpecification) {
  const WithVariable home("HOME", "/home/a");
  {
    const WithVariable cache("XDG_CACHE_HOME", "/var/b");
    EXPECT_EQ(user_cache_folder(), "/var/b/nibble");
  }
  for (const char* unusable : {static_cast<const char*>(nullptr), "", "relative/folder"}) {
    const WithVariable cache("XDG_CACHE_HOME", unusable);
    EXPECT_EQ(user_cache_folder(), "/home/a/.cache/nibble");
  }
}

TEST(CacheFolder, IsAnErrorWhereNothingNamesOne) {
  const WithVariable home("HOME", nullptr), cache("XDG_CACHE_HOME", nullptr);
  EXPECT_THROW(user_cache_folder(), Error);
}

}  // namespace
}  // namespace nibble
