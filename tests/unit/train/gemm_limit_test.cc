#include "train/gemm_limit.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "model/load_model.h"

namespace ranktune {
namespace {

std::unique_ptr<Decoder> small_model() {
  return load_model({.folder = Path(RANKTUNE_TEST_DATA) / "golden/qwen2_gqa_tied/model",
                     .dtype = torch::kFloat32,
                     .device = torch::kCPU});
}

TEST(StepOperations, AreThoseOfTheWeightsThatEachTokenMeets) {
  const auto decoder = small_model();
  double layers = 0;  // multiplications a token, from the weights themselves
  for (const Linear* linear : decoder->linears())
    layers += static_cast<double>(linear->weight->value.numel());
  const auto head = static_cast<double>(decoder->head().weight->value.numel());
  // Forward and the gradient of the input; full fine-tuning forms the weights' gradients too.
  EXPECT_DOUBLE_EQ(step_operations(*decoder, false, 100, 30), 4 * (100 * layers + 30 * head));
  EXPECT_DOUBLE_EQ(step_operations(*decoder, true, 100, 30), 6 * (100 * layers + 30 * head));
}

TEST(GemmLimit, IsAPossibleSpeed) {
  const auto decoder = small_model();
  const double limit = measure_gemm_limit(*decoder, 64);
  EXPECT_GT(limit, 1e6);
  EXPECT_LT(limit, 1e16);
}

}  // namespace
}  // namespace ranktune
