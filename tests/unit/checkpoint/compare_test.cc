#include "checkpoint/compare.h"

#include <gmock/gmock.h>

#include <cmath>

#include "checkpoint/checkpoint_paths.h"
#include "checkpoint/manifest.h"
#include "checkpoint/optimizer_file.h"
#include "saved_checkpoints.h"
#include "storage/safetensors_writer.h"
#include "support/expect_error.h"

namespace ranktune {
namespace {

using testing::ElementsAre;
using testing::FieldsAre;
using testing::IsEmpty;

class Compare : public SavedCheckpoints {
 protected:
  /// Saves a step with these weights and returns its folder.
  Path save_with(std::int64_t step, const std::vector<float>& weights, CheckpointSnapshot given) {
    given.step = step;
    given.files.push_back(
        {.name = "adapter_model.safetensors", .bytes = 1000, .write = [weights](const Path& path) {
           const std::vector<TensorInfo> tensors{{.name = "lora_A",
                                                  .dtype = DType::kF32,
                                                  .shape = {static_cast<std::int64_t>(weights.size())},
                                                  .data = std::as_bytes(std::span(weights))}};
           write_safetensors(path, tensors);
         }});
    const SaveResult saved = save(given);
    EXPECT_TRUE(saved.saved) << saved.failure;
    return root() / checkpoint_name(step);
  }
  Path save_with(std::int64_t step, const std::vector<float>& weights) {
    return save_with(step, weights, snapshot(5));
  }
};

TEST_F(Compare, EqualContentOfTwoStepsDiffersInTheStepAlone) {
  const Path a = save_with(10, {1, 2, 3}), b = save_with(20, {1, 2, 3});
  const CheckpointComparison found = compare_checkpoints(a, b);
  EXPECT_THAT(found.differences, ElementsAre(FieldsAre("trainer.json: step", "10 -> 20")));
  EXPECT_EQ(found.tensors, 1 + 2 * 2);
  EXPECT_EQ(found.largest, 0);
  EXPECT_THAT(compare_checkpoints(a, a).differences, IsEmpty());
}

TEST_F(Compare, NamesTensorsAndTheLargestDifference) {
  CheckpointSnapshot other = snapshot(5);
  other.optimizer.exp_avg[301] += 0.25F;  // of "b", which begins at 300
  other.optimizer.exp_avg_sq[299] = NAN;
  other.optimizer.updates = 6;
  other.validation_loss = 0.5;
  other.trainer["epoch"] = 4;
  other.trainer["seen"] = 1;
  const Path a = save_with(10, {1, 2, 3}), b = save_with(10'000'000, {1, 2.5, 2}, other);
  const CheckpointComparison found = compare_checkpoints(a, b);
  EXPECT_THAT(
      found.differences,
      ElementsAre(
          FieldsAre("adapter_model.safetensors: lora_A", "2 of 3 elements, by up to 1"),
          FieldsAre("trainer.json: seen", "only in the second"), FieldsAre("trainer.json: epoch", "3 -> 4"),
          FieldsAre("trainer.json: step", "10 -> 10000000"), FieldsAre("validation loss", "none -> 0.5"),
          FieldsAre("optimizer: updates", "5 -> 6"),
          FieldsAre("optimizer: exp_avg_sq of w", "1 of 300 elements, by up to 0, 1 of them not finite"),
          FieldsAre("optimizer: exp_avg of b", "1 of 7 elements, by up to 0.25")));
  EXPECT_EQ(found.largest, 1.0);
}

/// The same state in one file and in three: how it lies on disk is no difference.
TEST_F(Compare, TheNumberOfRanksThatWroteIsNoDifference) {
  const Path a = save_with(10, {1});
  const Path b = folder_ / "other" / checkpoint_name(10);
  make_folders(b.parent_path());
  std::filesystem::copy(a, b);
  Manifest manifest = Manifest::read(b);
  std::erase_if(manifest.files,
                [](const ManifestEntry& file) { return parse_optimizer_file_name(file.name); });
  const OptimizerSnapshot whole = snapshot(5).optimizer;
  const Partition partition(2, whole.total);
  for (int part = 0; part < 2; ++part) {
    const FlatRange range = partition.range(part);
    const auto piece = [&](const std::vector<float>& values) {
      return std::vector<float>(values.begin() + range.begin, values.begin() + range.end);
    };
    const std::string name = optimizer_file_name({part, 2});
    write_optimizer_file(b / name,
                         {.range = range,
                          .total = whole.total,
                          .updates = whole.updates,
                          .exp_avg = piece(whole.exp_avg),
                          .exp_avg_sq = piece(whole.exp_avg_sq)},
                         identity().layout.hash());
    manifest.files.push_back(describe_file(b, name));
  }
  write_file(b / kManifestFile, manifest.text());
  EXPECT_THAT(compare_checkpoints(a, b).differences, IsEmpty());
}

TEST_F(Compare, WhatCannotBeReadIsNamed) {
  const Path a = save_with(10, {1}), b = save_with(20, {1});
  write_file(b / "trainer.json", "{");
  expect_error([&] { compare_checkpoints(a, b); }, "step-000020/trainer.json");
  std::filesystem::remove(b / "manifest.json");
  expect_error([&] { compare_checkpoints(a, b); }, "step-000020/manifest.json");
}

}  // namespace
}  // namespace ranktune
