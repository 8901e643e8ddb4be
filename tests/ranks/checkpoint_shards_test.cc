#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "checkpoint/background_saver.h"
#include "checkpoint/checkpoint_paths.h"
#include "checkpoint/find_latest.h"
#include "checkpoint/load.h"
#include "checkpoint/save.h"
#include "comm/collectives.h"
#include "comm/mpi_communicator.h"
#include "ranks/rank_session.h"
#include "support/expect_error.h"
#include "support/lone_communicator.h"
#include "support/temp_dir.h"
#include "zero/zero2_optimizer.h"

namespace ranktune {
namespace {

using testing::HasSubstr;

FlatLayout layout() {
  return FlatLayout(
      {{.name = "a", .shape = {64, 33}}, {.name = "b", .shape = {301}}, {.name = "c", .shape = {16, 40}}});
}

std::vector<torch::Tensor> random_tensors(std::uint64_t seed) {
  torch::Generator generator = at::detail::createCPUGenerator(seed);
  std::vector<torch::Tensor> tensors;
  const FlatLayout flat = layout();
  for (const ParameterSpec& spec : flat.specs()) tensors.push_back(torch::randn(spec.shape, generator));
  return tensors;
}

/// A training of bf16 parameters, whose master is part of the checkpoint, on the ranks of a communicator.
class Training {
 public:
  explicit Training(Communicator& communicator)
      : communicator_(communicator),
        optimizer_({.layout = layout(), .zero = {}, .adamw = {}, .working_dtype = torch::kBFloat16},
                   communicator) {
    optimizer_.set_parameters(random_tensors(1));
  }

  void train(int first_step, int steps) {
    for (int step = first_step; step < first_step + steps; ++step) {
      for (int slot = 0; slot < 5; ++slot)
        if (slot % communicator_.size() == communicator_.rank())
          optimizer_.accumulate(random_tensors(static_cast<std::uint64_t>(10 * step + slot)));
      optimizer_.step(7, 1e-2);
    }
  }

  SaveResult save(const Path& root, std::int64_t step) {
    CheckpointSnapshot snapshot{
        .step = step, .validation_loss = {}, .optimizer = optimizer_.snapshot(), .files = {}};
    snapshot.files.push_back(
        {.name = "note.txt", .bytes = 4, .write = [](const Path& path) { write_file(path, "note"); }});
    return save_checkpoint({.root = root, .options = {}, .identity = identity(), .attempt = 1}, snapshot,
                           communicator_);
  }

  std::optional<LoadedCheckpoint> load(const Path& root) {
    auto loaded =
        load_latest({.root = root, .identity = identity(), .range = optimizer_.owned(), .need_master = true},
                    communicator_);
    if (loaded) optimizer_.load(loaded->optimizer);
    return loaded;
  }

  Zero2Optimizer& optimizer() { return optimizer_; }
  static CheckpointIdentity identity() { return {.layout = layout(), .base_hash = "base"}; }

 private:
  Communicator& communicator_;
  Zero2Optimizer optimizer_;
};

/// A folder of rank 0 that all ranks of the test know.
class SharedDir {
 public:
  explicit SharedDir(Communicator& communicator) {
    std::string name;
    if (communicator.rank() == 0) name = folder_.emplace().path().string();
    broadcast_bytes(communicator, name, 0);
    path_ = name;
  }
  const Path& path() const { return path_; }

 private:
  std::optional<TempDir> folder_;
  Path path_;
};

void expect_same(Zero2Optimizer& a, Zero2Optimizer& b) {
  EXPECT_EQ(a.updates(), b.updates());
  for (int i = 0; i < a.layout().count(); ++i) EXPECT_TRUE(torch::equal(a.parameter(i), b.parameter(i))) << i;
}

class CheckpointShards : public testing::Test {
 protected:
  std::unique_ptr<Communicator> world_ = make_mpi_communicator(rank_session(), {.timeout = 60});
  LoneCommunicator alone_;
  SharedDir folder_{*world_};
};

/// N ranks save, one goes on; one saves, N go on: the end is that of a training that was never interrupted.
TEST_F(CheckpointShards, MovesBetweenRankCountsBitForBit) {
  Training undisturbed(alone_);
  undisturbed.train(0, 9);

  Training many(*world_);
  many.train(0, 3);
  const SaveResult saved = many.save(folder_.path() / "many", 3);
  ASSERT_TRUE(saved.saved) << saved.failure;
  for (int part = 0; part < world_->size(); ++part)
    EXPECT_TRUE(std::filesystem::exists(folder_.path() / "many" / "step-000003" /
                                        optimizer_file_name({part, world_->size()})));

  Training one(alone_);
  ASSERT_TRUE(one.load(folder_.path() / "many"));
  expect_same(one.optimizer(), many.optimizer());
  one.train(3, 3);
  if (world_->rank() == 0) {
    EXPECT_TRUE(one.save(folder_.path() / "one", 6).saved);
  }
  world_->barrier();

  Training again(*world_);
  const auto loaded = again.load(folder_.path() / "one");
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->step, 6);
  again.train(6, 3);
  expect_same(again.optimizer(), undisturbed.optimizer());
}

TEST_F(CheckpointShards, AFailureOfOneRankIsKnownToAllAndLeavesTheEarlierOnes) {
  Training training(*world_);
  training.train(0, 1);
  ASSERT_TRUE(training.save(folder_.path(), 1).saved);

  const int last = world_->size() - 1;
  CheckpointSnapshot broken{
      .step = 2, .validation_loss = {}, .optimizer = training.optimizer().snapshot(), .files = {}};
  if (world_->rank() == last) broken.optimizer.exp_avg.push_back(0.0F);
  const SaveResult result =
      save_checkpoint({.root = folder_.path(), .options = {}, .identity = Training::identity(), .attempt = 1},
                      broken, *world_);
  EXPECT_FALSE(result.saved);
  EXPECT_THAT(result.failure, HasSubstr(fmt::format("rank {} (", last)));
  EXPECT_THAT(result.failure, HasSubstr("exp_avg"));
  world_->barrier();
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / ".step-000002.tmp-1"));
  EXPECT_EQ(list_checkpoints(folder_.path()), std::vector<std::int64_t>{1});
  const auto loaded = training.load(folder_.path());
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->step, 1);
}

/// A machine that does not share the filesystem: what its rank writes is not what the others see.
TEST_F(CheckpointShards, FilesThatTheOtherRanksDoNotSeeFailTheSave) {
  if (world_->size() == 1) return;  // one rank sees what it wrote
  Training training(*world_);
  ASSERT_TRUE(training.save(folder_.path(), 1).saved);
  const int last = world_->size() - 1;
  const TempDir own;
  const bool apart = world_->rank() == last;
  if (apart) make_folders(own / ".step-000002.tmp-1");
  const SaveResult result = save_checkpoint(
      {.root = apart ? own.path() : folder_.path(),
       .options = {},
       .identity = Training::identity(),
       .attempt = 1,
       .visibility_patience = std::chrono::milliseconds(200)},
      {.step = 2, .validation_loss = {}, .optimizer = training.optimizer().snapshot(), .files = {}}, *world_);
  EXPECT_FALSE(result.saved);
  EXPECT_THAT(result.failure, HasSubstr("rank 0 ("));
  EXPECT_THAT(result.failure, HasSubstr(optimizer_file_name({last, world_->size()})));
  EXPECT_THAT(result.failure, HasSubstr("not visible here after 0.2 s"));
  EXPECT_EQ(list_checkpoints(folder_.path()), std::vector<std::int64_t>{1});
  EXPECT_TRUE(training.save(folder_.path(), 3).saved);
}

/// The same, but the names show up in time.
TEST_F(CheckpointShards, FilesThatAreSeenLateAreWaitedFor) {
  if (world_->size() == 1) return;
  Training training(*world_);
  const int last = world_->size() - 1;
  const std::string name = optimizer_file_name({last, world_->size()});
  const TempDir own;
  std::thread late;
  Path root = folder_.path();
  if (world_->rank() == last) {
    // This rank sees the common folder through links; its own file reaches that folder later.
    root = own.path();
    const Path there = folder_.path() / ".step-000002.tmp-1";
    const Path here = own / ".step-000002.tmp-1";
    make_folders(here);
    late = std::thread([there, here, name, size = world_->size()] {
      const auto until = [](const Path& path) {
        for (int i = 0; i < 1000 && !std::filesystem::exists(path); ++i)
          std::this_thread::sleep_for(std::chrono::milliseconds(10));
      };
      until(here / name);
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      std::filesystem::copy_file(here / name, there / name);
      for (int part = 0; part + 1 < size; ++part)
        std::filesystem::create_symlink(there / optimizer_file_name({part, size}),
                                        here / optimizer_file_name({part, size}));
      std::filesystem::create_symlink(there / kTrainerFile, here / kTrainerFile);
    });
  }
  const SaveResult result = save_checkpoint(
      {.root = root, .options = {}, .identity = Training::identity(), .attempt = 1},
      {.step = 2, .validation_loss = {}, .optimizer = training.optimizer().snapshot(), .files = {}}, *world_);
  EXPECT_TRUE(result.saved) << result.failure;
  if (late.joinable()) late.join();
  const auto loaded = training.load(folder_.path());
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->step, 2);
}

TEST_F(CheckpointShards, AllRanksSkipTheSameDamagedCheckpoint) {
  Training training(*world_);
  training.train(0, 1);
  ASSERT_TRUE(training.save(folder_.path(), 1).saved);
  ASSERT_TRUE(training.save(folder_.path(), 2).saved);
  if (world_->rank() == 0)
    std::filesystem::resize_file(
        folder_.path() / "step-000002" / optimizer_file_name({world_->size() - 1, world_->size()}), 100);
  world_->barrier();
  const auto loaded = training.load(folder_.path());
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->step, 1);
  ASSERT_EQ(loaded->skipped.size(), 1u);
  EXPECT_THAT(loaded->skipped[0].reason, HasSubstr("100 bytes"));
}

TEST_F(CheckpointShards, ARefusalReachesEveryRank) {
  Training training(*world_);
  ASSERT_TRUE(training.save(folder_.path(), 1).saved);
  CheckpointIdentity other = Training::identity();
  other.base_hash = "another";
  expect_error(
      [&] {
        load_latest({.root = folder_.path(), .identity = other, .range = training.optimizer().owned()},
                    *world_);
      },
      "base", "another");
}

/// The main threads train on, with collective calls of their own, while the writers save what was before.
TEST_F(CheckpointShards, TrainingGoesOnWhileTheWritersSave) {
  Training training(*world_);
  training.train(0, 2);
  BackgroundSaver saver({.save = {.root = folder_.path(), .options = {}, .identity = Training::identity()},
                         .communicator = make_mpi_communicator(rank_session(), {.background = true})});
  std::atomic<bool> trained = false;
  CheckpointSnapshot snapshot{
      .step = 2, .validation_loss = {}, .optimizer = training.optimizer().snapshot(), .files = {}};
  snapshot.files.push_back({.name = "late.txt", .bytes = 4, .write = [&](const Path& path) {
                              while (!trained) std::this_thread::sleep_for(std::chrono::milliseconds(1));
                              write_file(path, "late");
                            }});
  saver.start(std::move(snapshot));
  training.train(2, 3);
  EXPECT_FALSE(saver.poll());
  trained = true;
  const auto result = saver.finish();
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->saved) << result->failure;

  Training undisturbed(alone_);
  undisturbed.train(0, 5);
  expect_same(training.optimizer(), undisturbed.optimizer());
  Training again(*world_);
  const auto loaded = again.load(folder_.path());
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->step, 2);
  again.train(2, 3);
  expect_same(again.optimizer(), undisturbed.optimizer());
}

TEST_F(CheckpointShards, AFailedBackgroundSaveIsTheSameResultOnEveryRank) {
  Training training(*world_);
  BackgroundSaver saver({.save = {.root = folder_.path(), .options = {}, .identity = Training::identity()},
                         .communicator = make_mpi_communicator(rank_session(), {.background = true})});
  for (const bool broken : {true, false}) {
    CheckpointSnapshot snapshot{.step = broken ? 1 : 2,
                                .validation_loss = {},
                                .optimizer = training.optimizer().snapshot(),
                                .files = {}};
    const int last = world_->size() - 1;
    if (broken && world_->rank() == last) snapshot.optimizer.exp_avg.push_back(0.0F);
    saver.start(std::move(snapshot));
    const auto result = saver.finish();
    ASSERT_TRUE(result);
    EXPECT_EQ(result->saved, !broken);
    if (broken) {
      EXPECT_THAT(result->failure, HasSubstr(fmt::format("rank {} (", last)));
    }
  }
  EXPECT_EQ(list_checkpoints(folder_.path()), std::vector<std::int64_t>{2});
}

}  // namespace
}  // namespace ranktune
