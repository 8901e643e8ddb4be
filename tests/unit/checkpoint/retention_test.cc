#include "checkpoint/retention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "checkpoint/checkpoint_paths.h"
#include "checkpoint/find_latest.h"
#include "checkpoint/manifest.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

std::vector<RetentionCandidate> five() {
  return {{.step = 10, .validation_loss = 2.0},
          {.step = 20, .validation_loss = 1.0},
          {.step = 30, .validation_loss = 1.0},
          {.step = 40, .validation_loss = NAN},
          {.step = 50, .validation_loss = {}}};
}

TEST(Retention, KeepsTheNewestAndTheBest) {
  EXPECT_THAT(steps_to_remove(five(), {.keep = 2, .keep_best = 0}), ElementsAre(10, 20, 30));
  EXPECT_THAT(steps_to_remove(five(), {.keep = 2, .keep_best = 1}), ElementsAre(10, 30));
  EXPECT_THAT(steps_to_remove(five(), {.keep = 2, .keep_best = 2}), ElementsAre(10));
  EXPECT_THAT(steps_to_remove(five(), {.keep = 1, .keep_best = 3}), ElementsAre(40)) << "NaN is no loss";
  EXPECT_THAT(steps_to_remove(five(), {.keep = 1, .keep_best = 9}), ElementsAre(40));
  EXPECT_THAT(steps_to_remove(five(), {.keep = 5}), IsEmpty());
  EXPECT_THAT(steps_to_remove(five(), {.keep = 100}), IsEmpty());
  EXPECT_THAT(steps_to_remove({}, {.keep = 1}), IsEmpty());
  EXPECT_THAT(
      steps_to_remove({{.step = 2, .validation_loss = {}}, {.step = 1, .validation_loss = NAN}}, {.keep = 1}),
      ElementsAre(1));
  expect_error([] { steps_to_remove({}, {.keep = 0}); }, "checkpoint.keep", "0");
  expect_error([] { steps_to_remove({}, {.keep = 1, .keep_best = -1}); }, "checkpoint.keep_best", "-1");
}

TEST(Retention, TheBestMayBeAmongTheNewest) {
  EXPECT_THAT(steps_to_remove({{.step = 1, .validation_loss = 3.0},
                               {.step = 2, .validation_loss = 2.0},
                               {.step = 3, .validation_loss = 1.0}},
                              {.keep = 1, .keep_best = 2}),
              ElementsAre(1));
}

void make_checkpoint(const Path& root, std::int64_t step, std::optional<double> loss) {
  const Path folder = root / checkpoint_name(step);
  make_folders(folder);
  write_file(folder / kManifestFile, Manifest{.step = step, .validation_loss = loss, .files = {}}.text());
}

TEST(Retention, PrunesFoldersAndLeavesStrangersAlone) {
  const TempDir root;
  for (const RetentionCandidate& each : five()) make_checkpoint(root.path(), each.step, each.validation_loss);
  make_folders(root / "step-000005");  // without a manifest
  make_folders(root / "my-notes");
  EXPECT_THAT(prune_checkpoints(root.path(), 50, {.keep = 1}),
              UnorderedElementsAre("step-000010", "step-000030", "step-000040"));
  EXPECT_THAT(list_checkpoints(root.path()), ElementsAre(5, 20, 50));
  EXPECT_TRUE(std::filesystem::exists(root / "my-notes"));
}

TEST(Retention, DamagedOnesOfLaterStepsDoNotPushOutTheNewest) {
  const TempDir root;
  for (const std::int64_t step : {10, 20, 30, 40, 50}) make_checkpoint(root.path(), step, {});
  EXPECT_THAT(prune_checkpoints(root.path(), 30, {.keep = 2}), ElementsAre("step-000010"));
  EXPECT_THAT(list_checkpoints(root.path()), ElementsAre(20, 30, 40, 50));
}

TEST(Retention, RemovesWhatKilledAttemptsLeft) {
  const TempDir root;
  for (const char* name :
       {".step-000010.tmp-1", ".step-000010.tmp-2", ".step-000010.tmp-3", ".step-000020.old-1", "other"})
    make_folders(root / name);
  make_checkpoint(root.path(), 20, {});
  EXPECT_THAT(remove_stale_temporaries(root.path(), 2),
              UnorderedElementsAre(".step-000010.tmp-1", ".step-000010.tmp-2", ".step-000020.old-1"));
  EXPECT_TRUE(std::filesystem::exists(root / ".step-000010.tmp-3"));  // of a later attempt: not ours to touch
  make_folders(root / ".step-000030.old-3");
  EXPECT_THAT(remove_stale_temporaries(root.path(), 2), IsEmpty());
  EXPECT_TRUE(std::filesystem::exists(root / "other"));
  EXPECT_TRUE(std::filesystem::exists(root / ".step-000030.old-3"));
}

TEST(Retention, ACheckpointSetAsideForNothingGetsItsNameBack) {
  const TempDir root;
  make_checkpoint(root.path(), 20, 1.0);
  std::filesystem::rename(root / "step-000020", root / ".step-000020.old-1");
  EXPECT_THAT(remove_stale_temporaries(root.path(), 2), IsEmpty());
  EXPECT_THAT(list_checkpoints(root.path()), ElementsAre(20));
}

TEST(Retention, AnAbsentFolderHoldsNothing) {
  const TempDir root;
  EXPECT_THAT(list_checkpoints(root / "none"), IsEmpty());
  EXPECT_THAT(prune_checkpoints(root / "none", 50, {}), IsEmpty());
}

}  // namespace
}  // namespace ranktune
