#include "checkpoint/examine.h"

#include <gmock/gmock.h>

#include <stop_token>
#include <thread>

#include "saved_checkpoints.h"
#include "support/expect_error.h"

namespace ranktune {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using Examine = SavedCheckpoints;

TEST_F(Examine, TellsWhatIsThere) {
  CheckpointSnapshot with_loss = snapshot(10);
  with_loss.validation_loss = 1.5;
  save(with_loss);
  save(20);
  const auto all = examine_checkpoints(root());
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].name, "step-000010");
  EXPECT_EQ(all[0].validation_loss, 1.5);
  EXPECT_TRUE(all[0].valid());
  EXPECT_FALSE(all[1].validation_loss);
  EXPECT_GT(all[1].bytes, 307u * 8u);
  EXPECT_EQ(examine_checkpoint(root() / "step-000020/").step, 20);
}

/// A bit flip or a truncation in any file is found, and that file is the one that is named.
TEST_F(Examine, NamesEveryDamagedFile) {
  save(10);
  const Path folder = root() / "step-000010";
  for (const std::string& name : files_of(folder)) {
    const std::string whole = read_file(folder / name);
    const auto expect_fault = [&](const std::string& content) {
      write_file(folder / name, content);
      EXPECT_THAT(examine_checkpoint(folder).faults, ElementsAre(HasSubstr(name)));
    };
    for (std::size_t at = 0; at < whole.size(); at += 1 + whole.size() / 5) {
      std::string flipped = whole;
      flipped[at] = static_cast<char>(flipped[at] ^ 0x10);
      expect_fault(flipped);
    }
    expect_fault(whole.substr(0, whole.size() - 2));
    expect_fault("");
    std::filesystem::remove(folder / name);
    EXPECT_THAT(examine_checkpoint(folder).faults, ElementsAre(HasSubstr(name)));
    write_file(folder / name, whole);
  }
  EXPECT_TRUE(examine_checkpoint(folder).valid());
  write_file(folder / "adapter.bin", "ADAPTER");
  std::filesystem::resize_file(folder / "trainer.json", 9);
  EXPECT_THAT(examine_checkpoint(folder).faults,
              ElementsAre(HasSubstr("trainer.json"), HasSubstr("adapter.bin")));
}

TEST_F(Examine, AnotherVersionIsNoDamage) {
  save(10);
  const Path file = root() / "step-000010/manifest.json";
  write_file(file, manifest_of_format(read_file(file), 9));
  const Examination found = examine_checkpoint(root() / "step-000010");
  EXPECT_FALSE(found.valid());
  EXPECT_TRUE(found.other_version);
}

/// A training removes old checkpoints while all of them are read.
TEST_F(Examine, WhatIsRemovedMeanwhileIsNotThere) {
  save(10);
  save(20);
  const Path old = root() / "step-000010", aside = root() / ".aside";
  const std::jthread training([&](const std::stop_token& over) {
    while (!over.stop_requested()) {
      std::filesystem::rename(old, aside);
      std::filesystem::rename(aside, old);
    }
  });
  for (int i = 0; i < 300; ++i) {
    const auto all = examine_checkpoints(root());
    ASSERT_GE(all.size(), 1u);
    EXPECT_EQ(all.back().step, 20);
    EXPECT_TRUE(all.back().valid());
  }
}

TEST_F(Examine, OtherPlacesAreRefused) {
  save(10);
  EXPECT_EQ(checkpoints_folder(folder_.path()), root());
  EXPECT_EQ(checkpoints_folder(root()), root());
  expect_error([&] { checkpoints_folder(folder_ / "none"); }, "none is not a folder");
  expect_error([&] { examine_checkpoint(root()); }, "checkpoints is not a checkpoint folder");
  expect_error([&] { examine_checkpoint(root() / "step-000011"); }, "step-000011 is not a checkpoint folder");
  EXPECT_THAT(examine_checkpoints(folder_ / "none"), IsEmpty());
}

}  // namespace
}  // namespace ranktune
