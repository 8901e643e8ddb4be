#include "ownership/run_lease.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <mutex>
#include <thread>
#include <vector>

#include "ownership/lease_file.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr LeaseTiming kQuick{.renewal = 0.05, .expiry = 30, .patience = 0.3};
constexpr LeaseTiming kImpatient{.renewal = 0.05, .expiry = 0.6, .patience = 30};
/// Gives no further sign of life, as a stopped process.
constexpr LeaseTiming kMute{.renewal = 1000, .expiry = 0.6, .patience = 0.3};

class RunLeaseTest : public testing::Test {
 protected:
  std::unique_ptr<RunLease> take(LeaseTiming timing = kQuick) {
    return RunLease::take({.run = run_.path(),
                           .timing = timing,
                           .lost = [this](std::int64_t /*own_attempt*/, const std::string& why) {
                             const std::lock_guard lock(mutex_);
                             lost_.push_back(why);
                           }});
  }
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    if (!std::filesystem::exists(run_ / "owner")) return result;
    for (const auto& entry : std::filesystem::directory_iterator(run_ / "owner"))
      result.push_back(entry.path().filename().string());
    std::ranges::sort(result);
    return result;
  }
  std::vector<std::string> lost() {
    const std::lock_guard lock(mutex_);
    return lost_;
  }
  void write_foreign(std::int64_t attempt) const {
    make_folders(run_ / "owner");
    ProcessIdentity owner = this_process();
    owner.machine = "another boot", owner.host = "n7";
    write_file(run_ / "owner" / lease_name({.attempt = attempt}),
               Lease{.attempt = attempt, .owner = owner, .since = "then"}.text());
  }

  TempDir run_;
  std::mutex mutex_;
  std::vector<std::string> lost_;
};

TEST_F(RunLeaseTest, AttemptsAreCountedAndFollowAtOnce) {
  const auto begin = std::chrono::steady_clock::now();
  for (std::int64_t attempt = 1; attempt <= 3; ++attempt) {
    const auto lease = take(LeaseTiming{});
    EXPECT_EQ(lease->attempt(), attempt);
    EXPECT_FALSE(lease->predecessor_may_run());
    EXPECT_NO_THROW(lease->require_owner());
    lease->commit();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(15));
  EXPECT_THAT(names(), ElementsAre("attempt-000003.ended.json"));
  EXPECT_THAT(lost(), IsEmpty());
}

TEST_F(RunLeaseTest, AStartThatWasRefusedLeavesNothing) {
  { const auto lease = take(); }
  EXPECT_FALSE(std::filesystem::exists(run_ / "owner"));
  take()->commit();
  { const auto lease = take(); }
  EXPECT_THAT(names(), ElementsAre("attempt-000001.ended.json"));
}

TEST_F(RunLeaseTest, AnOwnerThatLivesIsNamed) {
  const auto owner = take();
  owner->commit();
  expect_error([&] { take(); }, "is in use by attempt 1 of this run (rank 0 on host ",
               fmt::format("kill {} on ", ::getpid()), "choose another run.dir");
  EXPECT_NO_THROW(owner->require_owner());
  EXPECT_THAT(names(), ElementsAre("attempt-000001.json"));
}

TEST_F(RunLeaseTest, AKilledOwnersSuccessorNeedNotWait) {
  const pid_t child = ::fork();
  if (child == 0) {
    take()->commit();  // ends with the statement
    const auto lease = take();
    lease->commit();
    ::kill(::getpid(), SIGKILL);
  }
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_THAT(names(), ElementsAre("attempt-000002.json"));
  const auto begin = std::chrono::steady_clock::now();
  const auto lease = take(LeaseTiming{});
  EXPECT_EQ(lease->attempt(), 3);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(15));
}

TEST_F(RunLeaseTest, AnOwnerElsewhereIsTakenForDeadWhenItHasBeenSilent) {
  write_foreign(7);
  const auto begin = std::chrono::steady_clock::now();
  const auto lease = take(kImpatient);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(600));
  EXPECT_EQ(lease->attempt(), 8);
  EXPECT_TRUE(lease->predecessor_may_run());
  EXPECT_THAT(names(), ElementsAre("attempt-000008.json")) << "the fence stands before anything is read";
}

TEST_F(RunLeaseTest, TimeInWhichTheTakerStoodStillTooIsNoSilenceOfTheOwner) {
  write_foreign(1);
  const Path lease = run_ / "owner" / lease_name({.attempt = 1});
  const auto live_for = [&](std::chrono::milliseconds time) {
    for (const auto end = std::chrono::steady_clock::now() + time; std::chrono::steady_clock::now() < end;
         std::this_thread::sleep_for(std::chrono::milliseconds(50)))
      std::filesystem::last_write_time(lease, std::filesystem::file_time_type::clock::now());
  };
  const pid_t taker = ::fork();
  if (taker == 0) {
    take({.renewal = 0.05, .expiry = 3, .patience = 600});
    ::_exit(0);
  }
  live_for(std::chrono::milliseconds(500));
  ASSERT_EQ(::kill(taker, SIGSTOP), 0);
  std::this_thread::sleep_for(std::chrono::seconds(5));  // as if the owner were stopped, too
  ASSERT_EQ(::kill(taker, SIGCONT), 0);
  live_for(std::chrono::milliseconds(1500));
  EXPECT_EQ(::waitpid(taker, nullptr, WNOHANG), 0) << "it did not go on waiting";
  ::kill(taker, SIGKILL);
  ::waitpid(taker, nullptr, 0);
  EXPECT_THAT(names(), ElementsAre("attempt-000001.json"));
}

TEST_F(RunLeaseTest, AnUnreadableLeaseIsWaitedFor) {
  make_folders(run_ / "owner");
  write_file(run_ / "owner/attempt-000001.json", "{");
  EXPECT_EQ(take(kImpatient)->attempt(), 2);
}

TEST_F(RunLeaseTest, AnOwnerThatWasTakenForDeadMayWriteNothing) {
  const auto old = take(kMute);
  old->commit();
  const auto successor = take(kImpatient);
  EXPECT_EQ(successor->attempt(), 2);
  expect_error([&] { old->require_owner(); }, "attempt 2 of this run (rank 0 on host ",
               ") has taken over; attempt 1 of process ", "exit code 76");
  ASSERT_EQ(lost().size(), 1U);
  EXPECT_THAT(lost().front(), HasSubstr("has taken over"));
  EXPECT_NO_THROW(successor->require_owner());
}

TEST_F(RunLeaseTest, TheEndOfALostLeaseChangesNothing) {
  auto old = take(kMute);
  old->commit();
  const auto successor = take(kImpatient);
  old.reset();
  EXPECT_THAT(names(), ElementsAre("attempt-000002.json"));
}

TEST_F(RunLeaseTest, ALostLeaseIsNoticedWithoutAnyWrite) {
  const auto owner = take();
  owner->commit();
  write_foreign(2);
  std::filesystem::remove(run_ / "owner/attempt-000001.json");
  for (int i = 0; i < 200 && lost().empty(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  ASSERT_EQ(lost().size(), 1U);
  EXPECT_THAT(lost().front(), HasSubstr("attempt 2 of this run (rank 0 on host n7"));
}

TEST_F(RunLeaseTest, AFolderThatVanishedIsNoSuccessor) {
  const auto owner = take();
  owner->commit();
  std::filesystem::remove_all(run_ / "owner");
  expect_error([&] { owner->require_owner(); }, "attempt-000001.json is gone");
  EXPECT_THAT(lost(), IsEmpty());
  write_foreign(1);  // a start that found nothing counts from 1 again
  expect_error([&] { owner->require_owner(); }, "attempt 1 of this run (rank 0 on host n7", "has taken over");
  EXPECT_EQ(lost().size(), 1U);
}

TEST_F(RunLeaseTest, OneOfManyWins) {
  std::atomic<int> owners = 0, refused = 0;
  std::vector<std::unique_ptr<RunLease>> leases(8);
  std::vector<std::thread> threads;
  for (auto& lease : leases)
    threads.emplace_back([&] {
      try {
        lease = take();
        ++owners;
      } catch (const Error&) {
        ++refused;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(owners, 1);
  EXPECT_EQ(refused, 7);
}

}  // namespace
}  // namespace ranktune
