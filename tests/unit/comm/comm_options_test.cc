#include "comm/comm_options.h"

#include <gtest/gtest.h>

#include <limits>

#include "support/expect_error.h"

namespace ranktune {
namespace {

TEST(CommOptions, DefaultsAndTheEdgesOfTheRangesAreGood) {
  check_comm_options({});
  check_comm_options({.timeout = 1, .heartbeat = 0.25});
  check_comm_options({.timeout = 86400, .heartbeat = 0.05});
}

TEST(CommOptions, ValuesOutOfRangeAreNamed) {
  expect_error([] { check_comm_options({.timeout = 0.5}); }, "comm.timeout = 0.5", "1 to 86400");
  expect_error([] { check_comm_options({.timeout = 86401}); }, "comm.timeout = 86401");
  expect_error([] { check_comm_options({.timeout = std::numeric_limits<double>::quiet_NaN()}); },
               "comm.timeout");
  expect_error([] { check_comm_options({.timeout = 8, .heartbeat = 3}); }, "comm.heartbeat = 3", "(2)");
  expect_error([] { check_comm_options({.heartbeat = 0.01}); }, "comm.heartbeat = 0.01", "0.05");
}

}  // namespace
}  // namespace ranktune
