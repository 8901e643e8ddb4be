#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <fstream>
#include <thread>

#include "checkpoint/checkpoint_paths.h"
#include "checkpoint/trainer_file.h"
#include "saved_checkpoints.h"
#include "support/expect_error.h"

namespace ranktune {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using SaveLoad = SavedCheckpoints;

TEST_F(SaveLoad, WhatIsSavedIsLoaded) {
  EXPECT_FALSE(load());
  const SaveResult saved = save(120);
  EXPECT_TRUE(saved.saved) << saved.failure;
  EXPECT_EQ(saved.name, "step-000120");
  EXPECT_GT(saved.bytes, 8u * 307u);
  const auto loaded = load();
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->step, 120);
  EXPECT_EQ(loaded->folder, root() / "step-000120");
  EXPECT_EQ(loaded->trainer["epoch"], 3);
  EXPECT_EQ(loaded->optimizer.updates, 120);
  EXPECT_EQ(loaded->optimizer.exp_avg, snapshot(120).optimizer.exp_avg);
  EXPECT_EQ(loaded->optimizer.exp_avg_sq, snapshot(120).optimizer.exp_avg_sq);
  EXPECT_EQ(read_file(loaded->folder / "adapter.bin"), "adapter");
  EXPECT_TRUE(loaded->skipped.empty());
  EXPECT_THAT(names(), ElementsAre("step-000120"));
}

TEST_F(SaveLoad, TheNameAppearsOnlyWhenAllIsThere) {
  CheckpointSnapshot curious = snapshot(5);
  bool visible = true;
  curious.files[0].write = [&](const Path& path) {
    visible = std::filesystem::exists(root() / "step-000005");
    write_file(path, "adapter");
  };
  EXPECT_TRUE(save(curious).saved);
  EXPECT_FALSE(visible);
}

TEST_F(SaveLoad, DamageInAnyFileFallsBackToTheOneBefore) {
  save(10);
  save(20);
  std::vector<Path> files;
  for (const auto& entry : std::filesystem::directory_iterator(root() / "step-000020"))
    files.push_back(entry.path());
  ASSERT_EQ(files.size(), 4u);
  for (const Path& file : files) {
    const std::string whole = read_file(file);
    const auto expect_fallback = [&](const std::string& what) {
      const auto loaded = load();
      ASSERT_TRUE(loaded) << what;
      EXPECT_EQ(loaded->step, 10) << what << " of " << file;
      ASSERT_EQ(loaded->skipped.size(), 1u);
      EXPECT_EQ(loaded->skipped[0].name, "step-000020");
      EXPECT_THAT(loaded->skipped[0].reason, HasSubstr(file.filename().string()));
    };
    for (const std::size_t at : {std::size_t{0}, whole.size() / 2, whole.size() - 2}) {
      std::string flipped = whole;
      flipped[at] = static_cast<char>(flipped[at] ^ 1);
      write_file(file, flipped);
      expect_fallback(fmt::format("bit flip at {}", at));
    }
    write_file(file, whole.substr(0, whole.size() / 2));
    expect_fallback("first half");
    write_file(file, "");
    expect_fallback("nothing");
    std::filesystem::remove(file);
    expect_fallback("loss");
    write_file(file, whole);
  }
  EXPECT_EQ(load()->step, 20);
}

/// Large ones are read for longer than a watchdog would wait for a rank that says nothing.
TEST_F(SaveLoad, WhoeverWatchesHearsThatReadingMovesOn) {
  constexpr std::size_t kSize = (std::size_t{3} << 20) + 1;
  CheckpointSnapshot large = snapshot(10);
  large.files.push_back({.name = "large.bin", .bytes = kSize, .write = [](const Path& path) {
                           write_file(path, std::string(kSize, 'x'));
                         }});
  int told = 0;
  EXPECT_TRUE(
      save_checkpoint(
          {.root = root(), .options = {.keep = 2}, .identity = identity(), .progress = [&] { ++told; }},
          large, alone_)
          .saved);
  EXPECT_GE(told, 4 + 3);
  told = 0;
  load_latest({.root = root(),
               .identity = identity(),
               .range = {0, identity().layout.total()},
               .progress = [&] { ++told; }},
              alone_);
  EXPECT_GE(told, 4 + 3);  // pieces of the large file, and three small ones
}

TEST_F(SaveLoad, WithoutAnyValidCheckpointThereIsNothing) {
  save(10);
  write_file(root() / "step-000010" / "trainer.json", "{}");
  EXPECT_FALSE(load());
}

TEST_F(SaveLoad, AFolderRenamedToAnotherStepIsNotThatStep) {
  save(10);
  std::filesystem::rename(root() / "step-000010", root() / "step-000099");
  EXPECT_FALSE(load());
}

TEST_F(SaveLoad, AnotherBaseOrLayoutIsRefusedWithBothSidesNamed) {
  save(10);
  CheckpointIdentity other = identity();
  other.base_hash = "base-2";
  expect_error([&] { load(other); }, "trainer.json", "base-1", "base-2");
  other = identity();
  other.layout = FlatLayout({{.name = "w", .shape = {30, 10}}, {.name = "b", .shape = {8}}});
  expect_error([&] { load(other); }, "tensor 1", "b [7]", "b [8]");
}

/// Going on from an older one, or from nothing, would throw away what the other version trained.
TEST_F(SaveLoad, TheNewestOfAnotherVersionIsRefusedNotSkipped) {
  save(10);
  save(20);
  const Path file = root() / "step-000020" / "manifest.json";
  write_file(file, manifest_of_format(read_file(file), 2));
  expect_error([&] { load(); }, "step-000020", "a newer version", "format 2");
  EXPECT_TRUE(save(30).saved);
  EXPECT_EQ(load()->step, 30) << "an older one of another version does no harm";
}

TEST_F(SaveLoad, AnotherVersionsTrainerFileIsRefused) {
  Json trainer = parse_json(trainer_text(snapshot(10), identity()), "x");
  EXPECT_NO_THROW(check_trainer(trainer, identity(), "trainer.json"));
  trainer["format"] = 2;
  expect_error([&] { check_trainer(trainer, identity(), "trainer.json"); }, "trainer.json", "a newer version",
               "format 2");
  trainer["format"] = 0;
  expect_error([&] { check_trainer(trainer, identity(), "trainer.json"); }, "an older version", "format 0");
}

TEST_F(SaveLoad, WhatTheSystemShowsOnlyLaterIsWaitedFor) {
  const ManifestEntry late{.name = "late.bin", .size = 4, .hash = {}};
  const Path file = folder_ / "late.bin";
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    std::ofstream(file) << "ab";
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    std::ofstream(file) << "abcd";
  });
  EXPECT_NO_THROW(wait_until_visible(folder_.path(), {late}, std::chrono::seconds(10)));
  other.join();
  std::ofstream(file) << "abc";
  expect_error([&] { wait_until_visible(folder_.path(), {late}, std::chrono::milliseconds(120)); },
               "late.bin", "4 bytes", "has 3", "0.12 s", "all machines share");
  std::filesystem::remove(file);
  expect_error([&] { wait_until_visible(folder_.path(), {late}, std::chrono::milliseconds(1)); },
               "is not visible");
  expect_error([&] { wait_until_visible(folder_ / "none", std::chrono::milliseconds(1)); }, "none",
               "made by another rank");
}

TEST_F(SaveLoad, AFailedWriteLeavesTheEarlierOnesAndIsReported) {
  save(10);
  CheckpointSnapshot failing = snapshot(20);
  failing.files[0].write = [](const Path& path) {
    fail("cannot write {}: No space left on device", path.string());
  };
  const SaveResult result = save(failing);
  EXPECT_FALSE(result.saved);
  EXPECT_THAT(result.failure, HasSubstr("rank 0"));
  EXPECT_THAT(result.failure, HasSubstr("No space left on device"));
  EXPECT_THAT(names(), ElementsAre("step-000010"));
  EXPECT_EQ(load()->step, 10);
  EXPECT_TRUE(save(20).saved);
}

/// The kernel refuses bytes beyond the limit, as it does on a full disk, in the middle of a file.
TEST_F(SaveLoad, WritesThatTheSystemCutsOffFailCleanly) {
  save(10);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{.rlim_cur = 1500, .rlim_max = before.rlim_max};
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const SaveResult result = save(20);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, handler);
  EXPECT_FALSE(result.saved);
  EXPECT_THAT(result.failure, HasSubstr("File too large"));
  EXPECT_THAT(names(), ElementsAre("step-000010"));
  EXPECT_EQ(load()->step, 10);
}

TEST_F(SaveLoad, WithoutRoomNothingIsWritten) {
  CheckpointSnapshot huge = snapshot(20);
  huge.files[0].bytes = std::uint64_t{1} << 60;
  bool called = false;
  huge.files[0].write = [&](const Path&) { called = true; };
  const SaveResult result = save(huge);
  EXPECT_FALSE(result.saved);
  EXPECT_FALSE(called);
  EXPECT_THAT(result.failure, HasSubstr("bytes free"));
}

TEST_F(SaveLoad, AFolderThatCannotBeMadeIsAFailureNotTheEnd) {
  write_file(folder_ / "checkpoints", "a file where the folder should be");
  const SaveResult result = save(20);
  EXPECT_FALSE(result.saved);
  EXPECT_THAT(result.failure, HasSubstr("checkpoints"));
}

TEST_F(SaveLoad, SavingAStepAgainReplacesIt) {
  save(10);
  write_file(root() / "step-000010" / "trainer.json", "damaged");
  EXPECT_FALSE(load());
  EXPECT_TRUE(save(10).saved);
  EXPECT_EQ(load()->step, 10);
  EXPECT_THAT(names(), ElementsAre("step-000010"));
}

/// A writer that was stopped after its last look at the lease, and goes on when its successor has published.
TEST_F(SaveLoad, AStepThatASuccessorHasPublishedIsNotTaken) {
  bool successor_came = false;
  const SaveResult late =
      save_checkpoint({.root = root(),
                       .options = {.keep = 2},
                       .identity = identity(),
                       .attempt = 1,
                       .at_stage =
                           [&](SaveStage stage, std::int64_t) {
                             if (stage != SaveStage::kPublish) return;
                             std::filesystem::remove_all(root() / temporary_name({.step = 10, .attempt = 1}));
                             CheckpointSnapshot of_successor = snapshot(10);
                             of_successor.trainer["epoch"] = 99;
                             successor_came = save(of_successor).saved;
                           }},
                      snapshot(10), alone_);
  EXPECT_TRUE(successor_came);
  EXPECT_FALSE(late.saved);
  EXPECT_EQ(load()->trainer["epoch"], 99);
  EXPECT_THAT(names(), ElementsAre("step-000010"));
}

TEST_F(SaveLoad, OneThatIsUnfitIsPassedOver) {
  for (const std::int64_t step : {10, 20}) save(step);
  const auto loaded = load_latest({.root = root(),
                                   .identity = identity(),
                                   .range = {0, identity().layout.total()},
                                   .unfit =
                                       [](std::int64_t step, const Json& trainer) {
                                         EXPECT_EQ(trainer["epoch"], 3);
                                         return step > 10 ? "too new" : "";
                                       }},
                                  alone_);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->step, 10);
  ASSERT_EQ(loaded->skipped.size(), 1u);
  EXPECT_EQ(loaded->skipped[0].reason, "too new");
}

TEST_F(SaveLoad, OldOnesGoAndLeftoversToo) {
  make_folders(root() / ".step-000001.tmp-0");
  CheckpointSnapshot best = snapshot(10);
  best.validation_loss = 0.5;
  EXPECT_TRUE(save(best).saved);
  for (const std::int64_t step : {20, 30}) EXPECT_TRUE(save(step).saved);
  const SaveResult last = save(40);
  EXPECT_THAT(last.pruned, ElementsAre("step-000020"));
  EXPECT_THAT(names(), ElementsAre("step-000010", "step-000030", "step-000040"));
}

TEST_F(SaveLoad, AWriterThatLosesTheRunPublishesAndPrunesNothing) {
  for (const std::int64_t step : {10, 20}) save(step);
  std::vector<SaveStage> stages;
  SaveStage objects_at = SaveStage::kBegin;
  const auto save_with = [&](std::int64_t step) {
    stages.clear();
    return save_checkpoint({.root = root(),
                            .options = {.keep = 2},
                            .identity = identity(),
                            .attempt = 1,
                            .at_stage =
                                [&](SaveStage stage, std::int64_t of) {
                                  EXPECT_EQ(of, step);
                                  stages.push_back(stage);
                                  require(stage != objects_at, "another attempt owns it");
                                }},
                           snapshot(step), alone_);
  };
  EXPECT_THAT(save_with(30).failure, HasSubstr("another attempt owns it"));
  EXPECT_THAT(stages, ElementsAre(SaveStage::kBegin, SaveStage::kFailed));
  objects_at = SaveStage::kPublish;
  EXPECT_FALSE(save_with(30).saved);
  EXPECT_THAT(stages,
              ElementsAre(SaveStage::kBegin, SaveStage::kFiles, SaveStage::kPublish, SaveStage::kFailed));
  EXPECT_THAT(names(), ElementsAre("step-000010", "step-000020"));
  objects_at = SaveStage::kPrune;
  EXPECT_TRUE(save_with(30).saved);
  EXPECT_THAT(names(), ElementsAre("step-000010", "step-000020", "step-000030"));
}

TEST_F(SaveLoad, NamesThatLeaveTheFolderOrCollideAreRefused) {
  for (const char* name : {"../outside", "trainer.json", "manifest.json", ".hidden"}) {
    CheckpointSnapshot odd = snapshot(10);
    odd.files[0].name = name;
    EXPECT_FALSE(save(odd).saved) << name;
  }
  CheckpointSnapshot odd = snapshot(10);
  odd.trainer["layout"] = 1;
  EXPECT_THAT(save(odd).failure, HasSubstr("layout"));
  EXPECT_TRUE(names().empty());
}

}  // namespace
}  // namespace ranktune
