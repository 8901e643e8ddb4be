#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace ranktune {

/// Runs `action` and asserts that it throws Error with every one of `parts` in its message.
template <typename Action, typename... Parts>
void expect_error(Action&& action, const Parts&... parts) {
  try {
    action();
  } catch (const Error& error) {
    for (const std::string& part : {std::string(parts)...})
      EXPECT_THAT(std::string(error.what()), ::testing::HasSubstr(part));
    return;
  }
  ADD_FAILURE() << "no Error was thrown";
}

}  // namespace ranktune
