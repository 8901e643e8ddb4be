#include "comm/exit_guard.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <thread>

namespace ranktune {
namespace {

TEST(ExitGuardDeathTest, EndsAProcessThatIsNotReadyInTime) {
  const auto hang = [] {
    const ExitGuard guard(0.05, "rank 1 has waited for the others");
    std::this_thread::sleep_for(std::chrono::hours(1));
  };
  EXPECT_EXIT(hang(), testing::ExitedWithCode(1), "error: rank 1 has waited for the others");
}

TEST(ExitGuardDeathTest, AndNoOther) {
  const auto go_on = [] {
    { const ExitGuard guard(0.1, "in vain"); }
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    std::_Exit(7);
  };
  EXPECT_EXIT(go_on(), testing::ExitedWithCode(7), "");
}

TEST(ExitGuard, RanksSpeakOneAfterTheOther) {
  EXPECT_EQ(ExitGuard::turn(0), 0);
  for (int rank = 0; rank < 8; ++rank)
    EXPECT_GE(ExitGuard::turn(rank + 1), ExitGuard::turn(rank) + 5) << "what a launcher needs to end them";
  EXPECT_LE(ExitGuard::turn(100000), 60) << "a large job does not wait for ever";
}

}  // namespace
}  // namespace ranktune
