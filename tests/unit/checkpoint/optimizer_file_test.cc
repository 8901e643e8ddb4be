#include "checkpoint/optimizer_file.h"

#include <gtest/gtest.h>

#include <fstream>
#include <span>

#include "storage/read_range.h"
#include "storage/safetensors_writer.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

constexpr std::int64_t kTotal = 1000;

/// The value of element i of a tensor: all different.
float value(std::int64_t i, int tensor) { return static_cast<float>(i) + 0.25F * static_cast<float>(tensor); }

std::vector<float> values(FlatRange range, int tensor) {
  std::vector<float> result;
  for (std::int64_t i = range.begin; i < range.end; ++i) result.push_back(value(i, tensor));
  return result;
}

OptimizerSnapshot state(FlatRange range) {
  return {.range = range,
          .total = kTotal,
          .updates = 17,
          .exp_avg = values(range, 0),
          .exp_avg_sq = values(range, 1),
          .master = values(range, 2)};
}

void write_parts(const Path& folder, int parts) {
  const Partition partition(parts, kTotal);
  for (int part = 0; part < parts; ++part)
    write_optimizer_file(folder / optimizer_file_name({part, parts}), state(partition.range(part)), "layout");
}

OptimizerReadPlan plan(const Path& folder, int parts, FlatRange range) {
  return {.folder = folder,
          .parts = parts,
          .layout_hash = "layout",
          .total = kTotal,
          .range = range,
          .need_master = true};
}

TEST(OptimizerFile, AnyPartitionIsReadFromAnyOther) {
  for (const int parts : {1, 2, 3, 4, 6}) {
    const TempDir folder;
    write_parts(folder.path(), parts);
    for (const int ranks : {1, 2, 3, 4, 5}) {
      for (int rank = 0; rank < ranks; ++rank) {
        const FlatRange range = Partition(ranks, kTotal).range(rank);
        const OptimizerSnapshot read = read_optimizer_range(plan(folder.path(), parts, range));
        EXPECT_EQ(read.range, range);
        EXPECT_EQ(read.updates, 17);
        EXPECT_EQ(read.exp_avg, values(range, 0)) << parts << " to " << ranks;
        EXPECT_EQ(read.exp_avg_sq, values(range, 1));
        EXPECT_EQ(read.master, values(range, 2));
      }
    }
  }
}

TEST(OptimizerFile, OnlyOverlappingFilesAreNeeded) {
  const TempDir folder;
  write_parts(folder.path(), 4);
  std::filesystem::remove(folder / optimizer_file_name({2, 4}));
  EXPECT_NO_THROW(read_optimizer_range(plan(folder.path(), 4, {0, 512})));
  expect_error([&] { read_optimizer_range(plan(folder.path(), 4, {0, 513})); }, "optimizer-00002-of-00004");
}

/// Bytes that this process has had from the system's read calls.
std::int64_t bytes_read_so_far() {
  std::ifstream file("/proc/self/io");
  std::string key;
  std::int64_t count = -1;
  file >> key >> count;
  EXPECT_EQ(key, "rchar:");
  return count;
}

TEST(OptimizerFile, NoOtherBytesAreRead) {
  constexpr std::int64_t kElements = 1 << 20;
  const TempDir folder;
  const Partition partition(2, kElements);
  for (int part = 0; part < 2; ++part) {
    OptimizerSnapshot whole{.range = partition.range(part), .total = kElements, .updates = 1};
    for (auto* tensor : {&whole.exp_avg, &whole.exp_avg_sq, &whole.master})
      tensor->resize(static_cast<std::size_t>(whole.range.size()));
    write_optimizer_file(folder / optimizer_file_name({part, 2}), whole, "layout");
  }
  OptimizerReadPlan wanted = plan(folder.path(), 2, {kElements / 2 - 1000, kElements / 2 + 3000});
  wanted.total = kElements;
  const std::int64_t own = bytes_read_so_far();
  const std::int64_t before = bytes_read_so_far();
  read_optimizer_range(wanted);
  const std::int64_t read = bytes_read_so_far() - before - (before - own);
  EXPECT_NEAR(static_cast<double>(read), 3 * 4000 * sizeof(float), 64.0);
}

TEST(OptimizerFile, AFileThatShrinksIsAnErrorNotASignal) {
  const TempDir folder;
  write_parts(folder.path(), 1);
  const Path file = folder / optimizer_file_name({0, 1});
  std::vector<std::byte> bytes(16);
  const std::uint64_t size = std::filesystem::file_size(file);
  EXPECT_NO_THROW(read_range(file, size - 16, bytes));
  expect_error([&] { read_range(file, size - 15, bytes); }, file.string(), "ends at byte");
  expect_error([&] { read_range(folder / "absent", 0, bytes); }, "absent", "No such file");
  expect_error([&] { read_range(folder.path(), 0, bytes); }, "cannot read", "directory");
}

/// What the metadata claims is not allocated before the file is found to hold it.
TEST(OptimizerFile, AHugeCountOverAFewBytesIsRefused) {
  constexpr std::int64_t kHuge = std::int64_t{1} << 42;
  const TempDir folder;
  const std::vector<float> few{1, 2, 3};
  const std::string count = std::to_string(kHuge);
  std::vector<TensorInfo> tensors;
  for (const char* name : {"exp_avg", "exp_avg_sq", "master"})
    tensors.push_back(
        {.name = name, .dtype = DType::kF32, .shape = {3}, .data = std::as_bytes(std::span(few))});
  write_safetensors(folder / optimizer_file_name({0, 1}), tensors,
                    {{"format", "ranktune-optimizer-1"},
                     {"begin", "0"},
                     {"end", count},
                     {"total", count},
                     {"updates", "1"},
                     {"layout", "layout"}});
  OptimizerReadPlan wanted = plan(folder.path(), 1, {0, kHuge});
  wanted.total = kHuge;
  expect_error([&] { read_optimizer_range(wanted); }, "exp_avg is F32 [3], not F32 [" + count + "]");
}

TEST(OptimizerFile, AnotherVersionsFileIsRefused) {
  const TempDir folder;
  write_parts(folder.path(), 1);
  const Path file = folder / optimizer_file_name({0, 1});
  std::string text = read_file(file);
  text.replace(text.find("ranktune-optimizer-1"), 20, "ranktune-optimizer-2");
  write_file(file, text);
  expect_error(
      [&] {
        read_optimizer_range(plan(folder.path(), 1, {0, kTotal}));
      },
      file.string(), "ranktune-optimizer-2", "ranktune-optimizer-1", "go on with the version");
}

TEST(OptimizerFile, AnythingElseThanThePlanIsRefused) {
  const TempDir folder;
  write_parts(folder.path(), 2);
  OptimizerReadPlan other = plan(folder.path(), 2, {0, kTotal});
  other.layout_hash = "another";
  expect_error([&] { read_optimizer_range(other); }, "optimizer-00000-of-00002", "other trained tensors");
  other = plan(folder.path(), 2, {0, 999});
  other.total = 999;
  expect_error([&] { read_optimizer_range(other); }, "of 1000", "of 999");

  OptimizerSnapshot without_master = state(Partition(2, kTotal).range(1));
  without_master.master.clear();
  write_optimizer_file(folder / optimizer_file_name({1, 2}), without_master, "layout");
  expect_error(
      [&] {
        read_optimizer_range(plan(folder.path(), 2, {0, kTotal}));
      },
      "00001-of-00002", "no master");
  without_master.updates = 18;
  write_optimizer_file(folder / optimizer_file_name({1, 2}), without_master, "layout");
  expect_error([&] { read_optimizer_range(plan(folder.path(), 2, {0, kTotal})); }, "18 updates", "17");
  std::filesystem::resize_file(folder / optimizer_file_name({0, 2}), 300);
  expect_error(
      [&] {
        read_optimizer_range(plan(folder.path(), 2, {0, kTotal}));
      },
      "optimizer-00000-of-00002");
}

TEST(OptimizerFile, StateOfTheWrongSizeIsNotWritten) {
  const TempDir folder;
  OptimizerSnapshot broken = state({0, 256});
  broken.exp_avg_sq.pop_back();
  expect_error([&] { write_optimizer_file(folder / "x", broken, "layout"); }, "exp_avg_sq", "255", "256");
}

}  // namespace
}  // namespace ranktune
