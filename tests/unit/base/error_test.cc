#include "base/error.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

namespace ranktune {
namespace {

TEST(Error, KindsHaveTheDocumentedExitCodes) {
  EXPECT_EQ(exit_code(ErrorKind::kInput), 1);
  EXPECT_EQ(exit_code(ErrorKind::kUsage), 2);
  EXPECT_EQ(exit_code(ErrorKind::kInterrupted), 75);
  EXPECT_EQ(kExitDone, 0);
}

TEST(Error, FailCarriesTheFormattedMessageAndKind) {
  try {
    fail("{} holds {} rows", "a.h5", 3);
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "a.h5 holds 3 rows");
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
  }
}

TEST(Error, RequireThrowsOnlyWhenTheConditionFails) {
  EXPECT_NO_THROW(require(true, "never seen {}", 1));
  EXPECT_THROW(require(false, "value {}", 1), Error);
}

TEST(Error, BracesInArgumentsAreNotFormatted) {
  try {
    fail("{}", "a{0}b{");
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "a{0}b{");
  }
}

TEST(Error, ErrnoTextIsTheSystemsReason) {
  errno = ENOENT;
  EXPECT_EQ(errno_text(), ": No such file or directory");
  errno = 0;
  EXPECT_EQ(errno_text(), "");
}

}  // namespace
}  // namespace ranktune
