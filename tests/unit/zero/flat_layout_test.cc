#include "zero/flat_layout.h"

#include <gtest/gtest.h>

#include <limits>

#include "support/expect_error.h"

namespace ranktune {
namespace {

FlatLayout three_parameters() {
  return FlatLayout({{.name = "a", .shape = {3, 4}},
                     {.name = "b", .shape = {5}, .decay = false},
                     {.name = "c", .shape = {2, 1}, .decay = false},
                     {.name = "d", .shape = {}, .decay = false, .lr_scale = 16.0}});
}

TEST(FlatLayout, LaysParametersOneAfterTheOther) {
  const FlatLayout layout = three_parameters();
  EXPECT_EQ(layout.total(), 20);
  EXPECT_EQ(layout.offset(0), 0);
  EXPECT_EQ(layout.offset(1), 12);
  EXPECT_EQ(layout.offset(2), 17);
  EXPECT_EQ(layout.numel(3), 1);
}

TEST(FlatLayout, SegmentsCoverTheRangeAndJoinEqualNeighbours) {
  const auto segments = three_parameters().segments({10, 20});
  ASSERT_EQ(segments.size(), 3u);
  EXPECT_EQ(segments[0].range, (FlatRange{10, 12}));
  EXPECT_TRUE(segments[0].decay);
  EXPECT_EQ(segments[1].range, (FlatRange{12, 19}));
  EXPECT_FALSE(segments[1].decay);
  EXPECT_EQ(segments[2].range, (FlatRange{19, 20}));
  EXPECT_EQ(segments[2].lr_scale, 16.0);
  EXPECT_TRUE(three_parameters().segments({20, 20}).empty());
}

TEST(FlatLayout, HashTellsNamesShapesAndOrderApart) {
  const FlatLayout a({{.name = "x", .shape = {2, 3}}, {.name = "y", .shape = {1}}});
  EXPECT_EQ(a.hash(),
            FlatLayout({{.name = "x", .shape = {2, 3}}, {.name = "y", .shape = {1}, .decay = false}}).hash());
  EXPECT_NE(a.hash(), FlatLayout({{.name = "x", .shape = {3, 2}}, {.name = "y", .shape = {1}}}).hash());
  EXPECT_NE(a.hash(), FlatLayout({{.name = "y", .shape = {1}}, {.name = "x", .shape = {2, 3}}}).hash());
  EXPECT_NE(a.hash(), FlatLayout({{.name = "x 2", .shape = {3}}, {.name = "y", .shape = {1}}}).hash());
}

TEST(FlatLayout, RefusesWhatCannotBeTrained) {
  expect_error([] { FlatLayout({}); }, "no parameter to train");
  expect_error([] { FlatLayout({{.name = "w", .shape = {2}}, {.name = "w", .shape = {2}}}); }, "w", "twice");
  expect_error([] { FlatLayout({{.name = "w", .shape = {2, 0}}}); }, "w", "0");
  expect_error([] { FlatLayout({{.name = "", .shape = {2}}}); }, "no name");
  const std::int64_t huge = std::int64_t{1} << 40;
  expect_error([&] { FlatLayout({{.name = "w", .shape = {huge, huge}}}); }, "64 bits");
  expect_error(
      [&] {
        FlatLayout({{.name = "v", .shape = {huge, huge >> 18}}, {.name = "w", .shape = {huge, huge >> 18}}});
      },
      "w", "63 bits");
}

TEST(Partition, PartsAreEqualWholeBlocksAndCoverEverythingOnce) {
  for (const std::int64_t total : {1L, 255L, 256L, 257L, 1000L, 4096L, 100003L}) {
    for (int world = 1; world <= 9; ++world) {
      const Partition partition(world, total);
      EXPECT_EQ(partition.per_rank() % kBlock, 0);
      EXPECT_GE(partition.padded(), total);
      EXPECT_LT(partition.padded() - total, kBlock * world);
      std::int64_t next = 0;
      for (int rank = 0; rank < world; ++rank) {
        const FlatRange range = partition.range(rank);
        EXPECT_EQ(range.begin, next);
        EXPECT_LE(range.size(), partition.per_rank());
        next = range.end;
      }
      EXPECT_EQ(next, total) << total << " over " << world;
    }
  }
}

TEST(Partition, RefusesNonsense) {
  expect_error([] { Partition(0, 5); }, "at least 1 rank");
  expect_error([] { Partition(2, 0); }, "at least 1 element");
  expect_error([] { Partition(2, std::numeric_limits<std::int64_t>::max()); }, "too many");
  expect_error([] { Partition(2, 5).range(2); }, "rank 2");
}

TEST(FlatRange, Intersection) {
  EXPECT_EQ(intersect({0, 10}, {5, 20}), (FlatRange{5, 10}));
  EXPECT_EQ(intersect({0, 5}, {5, 20}).size(), 0);
  EXPECT_EQ(intersect({10, 20}, {0, 5}).size(), 0);
}

}  // namespace
}  // namespace ranktune
