#include "checkpoint/checkpoint_paths.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace ranktune {
namespace {

TEST(CheckpointPaths, NamesAreReadBack) {
  EXPECT_EQ(checkpoint_name(120), "step-000120");
  EXPECT_EQ(checkpoint_name(12345678), "step-12345678");
  for (const std::int64_t step : {0L, 1L, 999999L, 1000000L})
    EXPECT_EQ(parse_checkpoint_name(checkpoint_name(step)), step);
  EXPECT_EQ(temporary_name({.step = 120, .attempt = 3}), ".step-000120.tmp-3");
  const auto temporary = parse_temporary_name(".step-000120.tmp-13");
  ASSERT_TRUE(temporary);
  EXPECT_EQ(temporary->step, 120);
  EXPECT_EQ(temporary->attempt, 13);
  EXPECT_TRUE(parse_replaced_name(replaced_name({.step = 5, .attempt = 0})));
  EXPECT_EQ(optimizer_file_name({.part = 0, .parts = 2}), "optimizer-00000-of-00002.safetensors");
  const auto part = parse_optimizer_file_name("optimizer-00003-of-00004.safetensors");
  ASSERT_TRUE(part);
  EXPECT_EQ(part->part, 3);
  EXPECT_EQ(part->parts, 4);
}

TEST(CheckpointPaths, OtherNamesAreNotOurs) {
  for (const char* name :
       {"", "step-", "step-120", "step-0000120", "step-00012x", "step--00001", "step-+00001", "Step-000120",
        "step-000120 ", "step-000120.tmp", "step-99999999999999999999"})
    EXPECT_FALSE(parse_checkpoint_name(name)) << name;
  for (const char* name : {"step-000120.tmp-1", ".step-120.tmp-1", ".step-000120.tmp-", ".step-000120.tmp-01",
                           ".step-000120.old-1"})
    EXPECT_FALSE(parse_temporary_name(name)) << name;
  for (const char* name : {"optimizer-00002-of-00002.safetensors", "optimizer-0-of-2.safetensors",
                           "optimizer-00000-of-00002.safetensors.x", "optimizer-00000-of-00000.safetensors"})
    EXPECT_FALSE(parse_optimizer_file_name(name)) << name;
}

TEST(CheckpointPaths, FileNamesStayInsideTheFolder) {
  EXPECT_NO_THROW(require_plain_name("adapter_model.safetensors", "x"));
  for (const char* name : {"", "..", ".hidden", "a/b", "../x", "/etc/passwd", "a\nb"})
    expect_error([&] { require_plain_name(name, "manifest X"); }, "manifest X", "cannot be the name");
}

}  // namespace
}  // namespace ranktune
