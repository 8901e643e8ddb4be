// What a whole job does when a rank stops, hangs, dies or is started wrongly: really launched, really
// stopped.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"
#include "ranks/child_job.h"

namespace ranktune {
namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;

constexpr int kTimeout = 3;
/// For jobs that must live though one of them may stand still for a while.
constexpr int kLongTimeout = 6;
/// Heartbeats, polls, the ranks' turns, and the launcher's cleaning up, on a loaded machine.
constexpr int kMargin = 12;
const std::string kSubject = RANKTUNE_LAUNCH_SUBJECT;

std::vector<std::string> subject(int ranks, const std::string& scenario, int target, int timeout = kTimeout) {
  return mpiexec(ranks, kSubject, {scenario, std::to_string(target), std::to_string(timeout)});
}

struct Stall {
  std::string scenario;
  int ranks;
  int target;
  std::string finding;  ///< regular expression
};

/// Whether the ranks that said their pid have ended, killed and stopped ones too.
bool none_is_left(const ChildJob& job) {
  for (const std::string& line : job.lines_with("fault pid=")) {
    const std::string status = "/proc/" + line.substr(line.find('=') + 1) + "/stat";
    const auto ended = [&] {
      std::ifstream file(status);
      std::string text;
      std::getline(file, text);                                       // nothing, too, where it goes just now
      return text.empty() || text.find(") Z ") != std::string::npos;  // or its parent has yet to take notice
    };
    for (int i = 0; i < 100 && !ended(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    if (!ended()) return false;
  }
  return true;
}

class StallTest : public testing::TestWithParam<Stall> {};

TEST_P(StallTest, OneLineNamesTheRankAndTheJobEnds) {
  const Stall& stall = GetParam();
  ChildJob job(subject(stall.ranks, stall.scenario, stall.target));
  ASSERT_TRUE(job.read_until("fault pid=", static_cast<std::size_t>(stall.ranks), seconds(30)))
      << job.output();
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(job.finish(seconds(60)), 1) << job.output();
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  EXPECT_GE(took, kTimeout - 1.5) << job.output();
  EXPECT_LE(took, kTimeout + kMargin) << job.output();
  const auto lines = job.lines_with("ending the job");
  ASSERT_EQ(lines.size(), 1u) << job.output();
  EXPECT_THAT(lines[0],
              AllOf(HasSubstr("rank " + std::to_string(stall.target) + " on host " + host_name() + " "),
                    ContainsRegex(stall.finding)));
  EXPECT_TRUE(job.lines_with("done").empty());
  EXPECT_TRUE(none_is_left(job));
}

const std::string kSilent = "has not answered for [3-9] s \\(last in phase forward \\(step 5\\)\\)";
const std::string kStuck = "has been in phase forward \\(step 5\\) for [3-9] s, and ";

INSTANTIATE_TEST_SUITE_P(Launch, StallTest,
                         testing::Values(Stall{"stop", 3, 2, kSilent}, Stall{"stop", 3, 0, kSilent},
                                         Stall{"stop", 2, 0, kSilent}, Stall{"stop", 4, 1, kSilent},
                                         Stall{"stuck", 3, 1, kStuck + "2 other ranks wait for it"},
                                         Stall{"stuck", 2, 0, kStuck + "1 other rank waits for it"}),
                         [](const auto& each) {
                           return each.param.scenario + "_" + std::to_string(each.param.target) + "_of_" +
                                  std::to_string(each.param.ranks);
                         });

TEST(Launch, RanksThatWaitForDifferentThingsAreEnded) {
  ChildJob job(subject(3, "crossed", 1));
  EXPECT_EQ(job.finish(seconds(60)), 1) << job.output();
  const auto lines = job.lines_with("ending the job");
  ASSERT_EQ(lines.size(), 1u) << job.output();
  EXPECT_THAT(lines[0], HasSubstr("has been waiting in phase all_gather (step 5) for"));
}

class FineTest : public testing::TestWithParam<std::string> {};

TEST_P(FineTest, NothingIsReportedAndNoThreadIsLeft) {
  ChildJob job(subject(3, GetParam(), 1, kLongTimeout));
  EXPECT_EQ(job.finish(seconds(60)), 0) << job.output();
  EXPECT_EQ(job.lines_with("done").size(), 3u) << job.output();
  EXPECT_TRUE(job.lines_with("ending the job").empty()) << job.output();
}

INSTANTIATE_TEST_SUITE_P(Launch, FineTest, testing::Values("none", "all_slow", "moving"),
                         [](const auto& each) { return each.param; });

TEST(Launch, ASuspendedAndContinuedJobGoesOn) {
  ChildJob job(subject(3, "pause", 0, kLongTimeout));
  ASSERT_TRUE(job.read_until("fault pid=", 3, seconds(30))) << job.output();
  std::vector<pid_t> ranks;
  for (const std::string& line : job.lines_with("fault pid=")) {
    ranks.push_back(std::atoi(line.substr(line.find('=') + 1).c_str()));
  }
  for (const pid_t rank : ranks) ASSERT_EQ(::kill(rank, SIGSTOP), 0);
  std::this_thread::sleep_for(seconds(2 * kLongTimeout));
  for (const pid_t rank : ranks) ASSERT_EQ(::kill(rank, SIGCONT), 0);
  EXPECT_EQ(job.finish(seconds(60)), 0) << job.output();
  EXPECT_EQ(job.lines_with("done").size(), 3u) << job.output();
}

TEST(Launch, AKilledRankEndsTheJobAtOnce) {
  constexpr int kLong = 600;
  ChildJob job(subject(3, "kill", 1, kLong));
  const int code = job.finish(seconds(30));
  EXPECT_GT(code, 0) << job.output();
  EXPECT_TRUE(none_is_left(job));
}

TEST(Launch, AnErrorOfOneRankEndsTheOthers) {
  constexpr int kLong = 600;
  ChildJob job(subject(3, "throw", 2, kLong));
  EXPECT_EQ(job.finish(seconds(30)), 1) << job.output();
  EXPECT_TRUE(none_is_left(job));
}

TEST(Launch, WithoutWatchdogACallGivesUpAfterItsTimeLimit) {
  ChildJob job(subject(2, "no_watchdog", 0, 2));
  EXPECT_EQ(job.finish(seconds(30)), 7) << job.output();
  EXPECT_EQ(job.lines_with("MPI_Ibarrier on rank 1 has waited for other ranks for 2 s").size(), 1u)
      << job.output();
}

TEST(Launch, ASingleProcessNeedsNoLauncher) {
  ChildJob job({kSubject, "none", "0", "3"});
  EXPECT_EQ(job.finish(seconds(30)), 0) << job.output();
  EXPECT_EQ(job.lines_with("done").size(), 1u) << job.output();
}

TEST(Launch, ProcessesThatMpiDidNotConnectAreRefused) {
  for (const char* variable : {"SLURM_NTASKS", "SLURM_STEP_NUM_TASKS", "PMI_SIZE"}) {
    ChildJob job({kSubject, "none", "0", "3"}, {{variable, "4"}});
    EXPECT_EQ(job.finish(seconds(30)), 1) << job.output();
    EXPECT_THAT(job.output(), AllOf(HasSubstr(std::string(variable) + "=4"), HasSubstr("srun --mpi=pmix")));
    EXPECT_TRUE(job.lines_with("done").empty());
  }
}

TEST(Launch, RankTestsRefuseAnotherWorld) {
  ChildJob job(mpiexec(2, RANKTUNE_RANK_TEST, {"--world=3"}));
  EXPECT_EQ(job.finish(seconds(60)), 1) << job.output();
  EXPECT_THAT(job.output(), HasSubstr("N is 3, but the world has 2"));
}

}  // namespace
}  // namespace ranktune
