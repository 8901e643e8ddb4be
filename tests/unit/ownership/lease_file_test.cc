#include "ownership/lease_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

TEST(LeaseName, IsReadBack) {
  EXPECT_EQ(lease_name({.attempt = 3}), "attempt-000003.json");
  EXPECT_EQ(lease_name({.attempt = 12345678, .ended = true}), "attempt-12345678.ended.json");
  for (const bool ended : {false, true}) {
    const auto name = parse_lease_name(lease_name({.attempt = 41, .ended = ended}));
    ASSERT_TRUE(name);
    EXPECT_EQ(name->attempt, 41);
    EXPECT_EQ(name->ended, ended);
  }
}

TEST(LeaseName, OthersAreNone) {
  for (const char* name :
       {"", "attempt-", "attempt-3.json", "attempt-000003", "attempt-000003.json~", "attempt-000000.json",
        "attempt--00003.json", ".claim-n1-7", "attempt-99999999999999999999.json"})
    EXPECT_FALSE(parse_lease_name(name)) << name;
}

TEST(ListLeases, HighestFirstAndNothingElse) {
  const TempDir folder;
  EXPECT_TRUE(list_leases(folder / "missing").empty());
  for (const char* name :
       {"attempt-000002.ended.json", "attempt-000010.json", "attempt-000009.json", "notes"})
    write_file(folder / name, "");
  std::vector<std::int64_t> attempts;
  for (const LeaseName& lease : list_leases(folder.path())) attempts.push_back(lease.attempt);
  EXPECT_THAT(attempts, testing::ElementsAre(10, 9, 2));
}

TEST(Lease, IsReadBack) {
  const ProcessIdentity owner{
      .host = "n1", .machine = "boot 1", .pid = 4711, .started = 99, .job = "12", .restarts = 2};
  const Lease lease{3, owner, "2026-11-26 17:20:11 UTC"};
  const Lease back = Lease::parse(lease.text(), "x");
  EXPECT_EQ(back.text(), lease.text());
  EXPECT_EQ(back.owner.pid, 4711);
  EXPECT_EQ(
      back.description(),
      "attempt 3 of this run (rank 0 on host n1, process 4711, Slurm job 12, since 2026-11-26 17:20:11 UTC)");
  expect_error([] { Lease::parse(R"({"format": 2})", "x.json"); }, "x.json: is of format 2");
  expect_error([] { Lease::parse(R"({"format": 1, "attempt": "a"})", "x.json"); }, "x.json: \"attempt\"");
}

}  // namespace
}  // namespace ranktune
