#include "ownership/process_identity.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

namespace ranktune {
namespace {

TEST(Liveness, ThisProcessLives) {
  const ProcessIdentity self = this_process();
  EXPECT_EQ(self.pid, ::getpid());
  EXPECT_GT(self.started, 0);
  EXPECT_EQ(liveness(self, self), Liveness::kAlive);
}

TEST(Liveness, AnEndedProcessIsDeadAlsoBeforeItsParentHasTakenNotice) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ProcessIdentity other = this_process();
  other.pid = child;
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(liveness(other, this_process()), Liveness::kDead) << "a zombie";
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_EQ(liveness(other, this_process()), Liveness::kDead);
}

TEST(Liveness, AProcessThatEndsWhileItIsLookedAtIsDead) {
  ProcessIdentity other = this_process();
  for (int i = 0; i < 500; ++i) {
    other.pid = ::fork();
    if (other.pid == 0) ::_exit(0);
    std::thread reaper([pid = static_cast<pid_t>(other.pid)] { ::waitpid(pid, nullptr, 0); });
    // The moment between opening and reading its file is met a few times.
    EXPECT_NO_THROW({
      for (int look = 0; look < 30; ++look) liveness(other, this_process());
    });
    reaper.join();
    EXPECT_EQ(liveness(other, this_process()), Liveness::kDead);
  }
}

TEST(Liveness, AnotherProcessUnderTheSameNumberIsNotIt) {
  ProcessIdentity other = this_process();
  other.started -= 1;
  EXPECT_EQ(liveness(other, this_process()), Liveness::kDead);
}

TEST(Liveness, NothingIsKnownOfOtherMachines) {
  ProcessIdentity other = this_process();
  other.machine = "another boot";
  EXPECT_EQ(liveness(other, this_process()), Liveness::kUnknown);
  ProcessIdentity self = this_process();
  self.machine = other.machine = "";
  EXPECT_EQ(liveness(other, self), Liveness::kUnknown);
}

TEST(EarlierStart, IsKnownByTheJobAndItsRestarts) {
  ::setenv("SLURM_JOB_ID", "12", 1);
  ::setenv("SLURM_RESTART_COUNT", "2", 1);
  const ProcessIdentity self = this_process();
  ::unsetenv("SLURM_JOB_ID");
  ::unsetenv("SLURM_RESTART_COUNT");
  EXPECT_EQ(self.job, "12");
  EXPECT_EQ(self.restarts, 2);
  ProcessIdentity other = self;
  EXPECT_FALSE(is_of_earlier_start(other, self));
  other.restarts = 1;
  EXPECT_TRUE(is_of_earlier_start(other, self));
  EXPECT_FALSE(is_of_earlier_start(self, other));
  other.job = "13";
  EXPECT_FALSE(is_of_earlier_start(other, self));
  ProcessIdentity outside = this_process();
  EXPECT_FALSE(is_of_earlier_start(outside, outside)) << "no job at all";
}

}  // namespace
}  // namespace ranktune
