#include "train/metrics_log.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>

#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

const std::string kThreeSteps =
    "{\"step\":1,\"loss\":3.5}\n{\"step\":2,\"loss\":3.0}\n{\"step\":3,\"loss\":2.5}\n";

TEST(MetricsLog, WritesOneObjectALineAsItHappens) {
  const TempDir folder;
  MetricsLog log(folder / "metrics.jsonl", 1);
  log.write({{"step", 1}, {"loss", 3.5}});
  EXPECT_EQ(read_file(folder / "metrics.jsonl"), "{\"step\":1,\"loss\":3.5}\n");
  log.write({{"step", 2}, {"loss", std::nan("")}});  // JSON has no NaN
  EXPECT_EQ(read_file(folder / "metrics.jsonl"), "{\"step\":1,\"loss\":3.5}\n{\"step\":2,\"loss\":null}\n");
}

TEST(MetricsLog, AResumedRunDropsTheStepsItDoesAgain) {
  const TempDir folder;
  write_file(folder / "m", kThreeSteps + "{\"step\":2,\"validation_loss\":3.1}\n");
  MetricsLog log(folder / "m", 2);
  log.write({{"step", 2}, {"loss", 2.9}});
  EXPECT_EQ(read_file(folder / "m"), "{\"step\":1,\"loss\":3.5}\n{\"step\":2,\"loss\":2.9}\n");
}

TEST(MetricsLog, AResumeAfterTheLastStepKeepsAll) {
  const TempDir folder;
  write_file(folder / "m", kThreeSteps);
  MetricsLog(folder / "m", 4).write({{"step", 4}});
  EXPECT_EQ(read_file(folder / "m"), kThreeSteps + "{\"step\":4}\n");
}

TEST(MetricsLog, LinesThatACrashCutOffAreDropped) {
  const TempDir folder;
  write_file(folder / "m", kThreeSteps + "not json\n[4]\n{\"step\":\"5\"}\n{\"step\":4,\"lo");
  const MetricsLog log(folder / "m", 9);
  EXPECT_EQ(read_file(folder / "m"), kThreeSteps);
}

TEST(MetricsLog, APlaceThatCannotBeWrittenIsNamed) {
  const TempDir folder;
  expect_error([&] { MetricsLog(folder / "absent/m", 1); }, "absent/m", "No such file");
}

TEST(MetricsLog, WhatAFullDiskDidNotTakeIsWrittenLater) {
  const TempDir folder;
  MetricsLog log(folder / "m", 1);
  // A limit on the size of files stands for the disk.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit four_bytes{4, before.rlim_max};
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &four_bytes), 0);
  log.write({{"step", 1}});
  log.write({{"step", 2}});
  EXPECT_EQ(read_file(folder / "m"), "{\"st");
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  log.write({{"step", 3}});
  EXPECT_EQ(read_file(folder / "m"), "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n");
}

}  // namespace
}  // namespace ranktune
