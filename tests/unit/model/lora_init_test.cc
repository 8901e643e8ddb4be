#include "model/lora_init.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/file.h"
#include "model/load_model.h"
#include "model/lora.h"

namespace ranktune {
namespace {

constexpr std::int64_t kRank = 4;

/// PiSSA's adapter is the best of its rank, and the rest is what the model computed before without it.
/// Whoever watches the process hears of every linear.
TEST(PrincipalParts, AreTheBestOfTheirRankAndEachIsToldOf) {
  const auto decoder = load_model({.folder = Path(RANKTUNE_TEST_DATA) / "golden/qwen2_gqa_tied/model",
                                   .dtype = torch::kFloat32,
                                   .device = torch::kCPU});
  add_lora(*decoder, resolve_targets(*decoder, {.rank = kRank, .init = "pissa"}), 1);
  std::vector<torch::Tensor> before;
  for (const Linear* linear : decoder->linears()) before.push_back(linear->weight->value.clone());
  int told = 0;
  find_principal_parts(*decoder, {}, 1, [&] { ++told; });
  take_out_of_base(*decoder);
  int adapted = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const Linear& linear = *decoder->linears()[i];
    if (!linear.lora) continue;
    ++adapted;
    const torch::Tensor update =
        torch::matmul(linear.lora->b->value, linear.lora->a->value) * linear.lora->scale;
    EXPECT_TRUE(torch::allclose(linear.weight->value + update, before[i], 1e-4, 1e-5)) << linear.name;
    const torch::Tensor values = torch::linalg_svdvals(before[i]);
    const double tail = values.narrow(0, kRank, values.size(0) - kRank).square().sum().item<double>();
    EXPECT_NEAR(linear.weight->value.square().sum().item<double>() / tail, 1.0, 1e-3) << linear.name;
  }
  EXPECT_GT(adapted, 0);
  EXPECT_EQ(told, adapted);
}

}  // namespace
}  // namespace ranktune
