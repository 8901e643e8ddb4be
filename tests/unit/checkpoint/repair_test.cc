#include "checkpoint/repair.h"

#include <gmock/gmock.h>

#include "saved_checkpoints.h"
#include "support/expect_error.h"

namespace ranktune {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Repairing : public SavedCheckpoints {
 protected:
  Repair repair(bool dry_run = false) {
    return repair_checkpoints(root(), {.dry_run = dry_run, .quiet = std::chrono::seconds(0)});
  }
  void rename(const std::string& from, const std::string& to) {
    std::filesystem::rename(root() / from, root() / to);
  }
  void damage(const std::string& name) { write_file(root() / name / "adapter.bin", "ADAPTER"); }
};

TEST_F(Repairing, WhatIsInOrderStays) {
  save(10);
  save(20);
  const Repair found = repair();
  EXPECT_THAT(found.done, IsEmpty());
  EXPECT_THAT(found.left, IsEmpty());
  EXPECT_THAT(names(), ElementsAre("step-000010", "step-000020"));
}

TEST_F(Repairing, ADamagedNewestIsSetAsideAndTheNextResumeIsClean) {
  save(10);
  save(20);
  damage("step-000020");
  EXPECT_THAT(repair(true).done, ElementsAre(HasSubstr("would be set aside")));
  EXPECT_THAT(names(), ElementsAre("step-000010", "step-000020")) << "a dry run changes nothing";
  EXPECT_THAT(repair().done, ElementsAre(HasSubstr("adapter.bin")));
  EXPECT_THAT(names(), ElementsAre(".step-000020.bad-1", "step-000010"));
  const auto loaded = load();
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->step, 10);
  EXPECT_THAT(loaded->skipped, IsEmpty());
  save(20);
  damage("step-000020");
  repair();
  EXPECT_THAT(names(), ElementsAre(".step-000020.bad-1", ".step-000020.bad-2", "step-000010"));
}

TEST_F(Repairing, TheLastOneIsNeverTakenAway) {
  save(10);
  damage("step-000010");
  const Repair found = repair();
  EXPECT_THAT(found.done, IsEmpty());
  EXPECT_THAT(found.left, ElementsAre(HasSubstr("no valid one is left")));
  EXPECT_THAT(names(), ElementsAre("step-000010"));
}

TEST_F(Repairing, WhatWasSetAsideForNothingGetsItsNameBack) {
  save(10);
  save(20);
  rename("step-000020", ".step-000020.old-1");
  EXPECT_THAT(repair().done, ElementsAre(HasSubstr("got the name step-000020")));
  EXPECT_EQ(load()->step, 20);
  // its successor came damaged
  std::filesystem::copy(root() / "step-000020", root() / ".step-000020.old-2");
  damage("step-000020");
  repair();
  EXPECT_THAT(names(), ElementsAre(".step-000020.bad-1", "step-000010", "step-000020"));
  EXPECT_EQ(load()->step, 20);
  // its successor came whole
  std::filesystem::copy(root() / "step-000020", root() / ".step-000020.old-3");
  EXPECT_THAT(repair().done, ElementsAre(HasSubstr(".step-000020.old-3")));
  EXPECT_THAT(names(), ElementsAre(".step-000020.bad-1", "step-000010", "step-000020"));
}

TEST_F(Repairing, LeftoversOfDeadAttemptsGoUnlessTheyLackOnlyTheName) {
  save(5);
  rename("step-000005", ".step-000005.tmp-7");  // killed while it was being removed
  save(10);
  save(20);
  rename("step-000020", ".step-000020.tmp-1");                                   // killed before the rename
  std::filesystem::copy(root() / "step-000010", root() / ".step-000030.tmp-2");  // of another step
  make_folders(root() / ".step-000040.tmp-2");                                   // just begun
  make_folders(root() / ".notes");
  repair();
  EXPECT_THAT(names(), ElementsAre(".notes", "step-000010", "step-000020"));
  EXPECT_EQ(load()->step, 20);
}

TEST_F(Repairing, ARunThatMayBeAliveIsLeftAlone) {
  save(10);
  make_folders(root() / ".step-000020.tmp-2");
  expect_error([&] { repair_checkpoints(root(), {}); }, ".step-000020.tmp-2", "a run may be writing it",
               "--force");
  EXPECT_THAT(names(), ElementsAre(".step-000020.tmp-2", "step-000010"));
  const auto long_ago = std::filesystem::file_time_type::clock::now() - std::chrono::hours(1);
  std::filesystem::last_write_time(root() / ".step-000020.tmp-2", long_ago);
  EXPECT_THAT(repair_checkpoints(root(), {}).done, ElementsAre(HasSubstr("is removed")));
}

TEST_F(Repairing, AnotherVersionsStays) {
  save(10);
  save(20);
  const Path file = root() / "step-000020/manifest.json";
  write_file(file, manifest_of_format(read_file(file), 9));
  EXPECT_THAT(repair().left, ElementsAre(HasSubstr("a newer version")));
  EXPECT_THAT(names(), ElementsAre("step-000010", "step-000020"));
}

}  // namespace
}  // namespace ranktune
