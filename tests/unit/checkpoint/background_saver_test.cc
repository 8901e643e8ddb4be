#include "checkpoint/background_saver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "checkpoint/find_latest.h"
#include "support/expect_error.h"
#include "support/lone_communicator.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

CheckpointIdentity identity() {
  return {.layout = FlatLayout({{.name = "w", .shape = {40}}}), .base_hash = "base"};
}

/// A snapshot whose file is written only once `gate` opens.
CheckpointSnapshot snapshot(std::int64_t step, std::shared_future<void> gate = {}) {
  CheckpointSnapshot result{.step = step, .validation_loss = {}, .optimizer = {}, .files = {}};
  result.optimizer = {.range = {0, 40},
                      .total = 40,
                      .updates = step,
                      .exp_avg = std::vector<float>(40, 1.0F),
                      .exp_avg_sq = std::vector<float>(40, 2.0F)};
  result.files.push_back({.name = "adapter.bin", .bytes = 7, .write = [gate](const Path& path) {
                            if (gate.valid()) gate.wait();
                            write_file(path, "adapter");
                          }});
  return result;
}

class BackgroundSaving : public testing::Test {
 protected:
  BackgroundSaver::Setup setup() {
    return {.save = {.root = root(), .options = {.keep = 2}, .identity = identity(), .attempt = 1},
            .communicator = std::make_unique<LoneCommunicator>()};
  }
  Path root() const { return folder_ / "checkpoints"; }

  TempDir folder_;
  std::promise<void> gate_;
  std::shared_future<void> open_ = gate_.get_future().share();
};

TEST_F(BackgroundSaving, TheCallerGoesOnWhileTheWriterWrites) {
  BackgroundSaver saver(setup());
  EXPECT_FALSE(saver.poll());
  EXPECT_FALSE(saver.finish());
  saver.start(snapshot(10, open_));
  EXPECT_FALSE(saver.poll());
  EXPECT_THAT(list_checkpoints(root()), ElementsAre());
  gate_.set_value();
  const auto result = saver.finish();
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->saved) << result->failure;
  EXPECT_EQ(result->name, "step-000010");
  EXPECT_THAT(list_checkpoints(root()), ElementsAre(10));
  EXPECT_FALSE(saver.finish()) << "a result is given once";
}

TEST_F(BackgroundSaving, ASecondSnapshotIsRefusedWhileOneIsBeingWritten) {
  BackgroundSaver saver(setup());
  saver.start(snapshot(10, open_));
  expect_error([&] { saver.start(snapshot(20)); }, "step 20", "another");
  gate_.set_value();
  EXPECT_TRUE(saver.finish()->saved);
  saver.start(snapshot(20));
  EXPECT_TRUE(saver.finish()->saved);
  EXPECT_THAT(list_checkpoints(root()), ElementsAre(10, 20));
}

TEST_F(BackgroundSaving, AFailureIsAResultAndTheNextSaveWorks) {
  BackgroundSaver saver(setup());
  CheckpointSnapshot failing = snapshot(10);
  failing.files[0].write = [](const Path&) { fail("No space left on device"); };
  saver.start(std::move(failing));
  const auto failed = saver.finish();
  ASSERT_TRUE(failed);
  EXPECT_FALSE(failed->saved);
  EXPECT_THAT(failed->failure, HasSubstr("No space left"));
  saver.start(snapshot(20));
  EXPECT_TRUE(saver.finish()->saved);
}

TEST_F(BackgroundSaving, TheEndWaitsForTheSaveInFlight) {
  std::thread later;
  {
    BackgroundSaver saver(setup());
    saver.start(snapshot(10, open_));
    later = std::thread([this] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      gate_.set_value();
    });
  }
  later.join();
  EXPECT_THAT(list_checkpoints(root()), ElementsAre(10));
}

/// The watchdog must be able to tell a rank with a slow disk from those that wait for it.
TEST_F(BackgroundSaving, AWaitCountsAsOneForOtherRanksOnlyWhileTheWriterWaitsForThem) {
  Activity network, main;
  auto given = setup();
  given.network = &network;
  given.activity = &main;
  BackgroundSaver saver(std::move(given));
  saver.start(snapshot(10, open_));
  std::thread waiting([&] { EXPECT_TRUE(saver.finish()); });
  const auto until = [&](bool waits) {
    for (int i = 0; i < 200 && (main.report().waiting >= 0) != waits; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return (main.report().waiting >= 0) == waits;
  };
  std::this_thread::sleep_for(std::chrono::milliseconds(120));
  EXPECT_LT(main.report().waiting, 0) << "its own disk is slow";
  network.begin_wait();
  EXPECT_TRUE(until(true)) << "another rank is slow";
  network.end_wait();
  EXPECT_TRUE(until(false));
  gate_.set_value();
  waiting.join();
}

/// The group's connection breaks in the middle of a save.
class BrokenCommunicator final : public Communicator {
 public:
  BrokenCommunicator() : Communicator(0, 1) {}
  std::string_view backend() const noexcept override { return "broken"; }
  bool takes(DeviceKind) const noexcept override { return true; }
  void broadcast(Buffer, int) override { fail("the connection broke"); }
  void all_reduce(Buffer, ReduceOp) override { fail("the connection broke"); }
  void reduce_scatter(ConstBuffer, Buffer, ReduceOp) override { fail("the connection broke"); }
  void all_gather(ConstBuffer, Buffer) override { fail("the connection broke"); }
  void barrier() override { fail("the connection broke"); }
  std::unique_ptr<Communicator> duplicate() override { return std::make_unique<BrokenCommunicator>(); }
  void abort(std::string_view) noexcept override {}
};

TEST_F(BackgroundSaving, ABrokenConnectionReachesTheCaller) {
  auto given = setup();
  given.communicator = std::make_unique<BrokenCommunicator>();
  BackgroundSaver saver(std::move(given));
  saver.start(snapshot(10));
  expect_error([&] { saver.finish(); }, "the connection broke");
}

}  // namespace
}  // namespace ranktune
