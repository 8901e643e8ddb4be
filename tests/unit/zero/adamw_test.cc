#include "zero/adamw.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include "base/json.h"
#include "support/expect_error.h"

namespace ranktune {
namespace {

struct Moments {
  explicit Moments(std::vector<float> start)
      : parameter(std::move(start)), exp_avg(parameter.size()), exp_avg_sq(parameter.size()) {}
  AdamWState state() { return {parameter, exp_avg, exp_avg_sq}; }

  std::vector<float> parameter, exp_avg, exp_avg_sq;
};

/// The reference may fuse a multiplication with an addition: each operation of a step may then differ in its
/// last bit.
void expect_close(const std::vector<float>& ours, const std::vector<float>& theirs, const std::string& what) {
  ASSERT_EQ(ours.size(), theirs.size());
  for (std::size_t i = 0; i < ours.size(); ++i)
    EXPECT_NEAR(ours[i], theirs[i], 5e-7 * std::abs(theirs[i]) + 1e-12) << what << " element " << i;
}

TEST(AdamW, GivesTheNumbersOfTorch) {
  for (const Json& given : read_json_file(RANKTUNE_TEST_DATA "/zero/adamw.json")) {
    const AdamWOptions options{.beta1 = given["beta1"],
                               .beta2 = given["beta2"],
                               .eps = given["eps"],
                               .weight_decay = given["weight_decay"]};
    Moments ours(given["start"]);
    std::int64_t update = 0;
    for (const Json& step : given["steps"]) {
      const auto gradient = step["gradient"].get<std::vector<float>>();
      adamw_update(AdamWStep(options, ++update, step["lr"], true), ours.state(), gradient, 1.0F);
      const std::string what = fmt::format("beta1 {} update {}", options.beta1, update);
      expect_close(ours.parameter, step["parameter"], what + " parameter");
      expect_close(ours.exp_avg, step["exp_avg"], what + " exp_avg");
      expect_close(ours.exp_avg_sq, step["exp_avg_sq"], what + " exp_avg_sq");
    }
  }
}

std::vector<float> random_values(std::size_t count, std::uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(engine);
  return values;
}

TEST(AdamW, BitsDoNotDependOnHowTheRangeIsCut) {
  const std::vector<float> start = random_values(1003, 1);
  const std::vector<float> gradient = random_values(1003, 2);
  const AdamWOptions options{.weight_decay = 0.05};
  Moments whole(start), cut(start);
  for (std::int64_t update = 1; update <= 3; ++update) {
    const AdamWStep step(options, update, 1e-3, true);
    adamw_update(step, whole.state(), gradient, 0.7F);
    for (std::size_t begin = 0, size = 1; begin < start.size(); begin += size, size = size % 13 + 1) {
      size = std::min(size, start.size() - begin);
      const AdamWState all = cut.state();
      adamw_update(step,
                   {all.parameter.subspan(begin, size), all.exp_avg.subspan(begin, size),
                    all.exp_avg_sq.subspan(begin, size)},
                   std::span(gradient).subspan(begin, size), 0.7F);
    }
  }
  for (std::size_t i = 0; i < start.size(); ++i)
    ASSERT_EQ(std::bit_cast<std::uint32_t>(whole.parameter[i]),
              std::bit_cast<std::uint32_t>(cut.parameter[i]))
        << i;
}

TEST(AdamW, WithoutDecayAZeroGradientMovesNothing) {
  Moments moments({1.0F, -2.0F});
  const std::vector<float> zeros(2);
  adamw_update(AdamWStep({.weight_decay = 0.5}, 1, 0.1, false), moments.state(), zeros, 1.0F);
  EXPECT_EQ(moments.parameter, (std::vector<float>{1.0F, -2.0F}));
  adamw_update(AdamWStep({.weight_decay = 0.5}, 1, 0.1, true), moments.state(), zeros, 1.0F);
  EXPECT_FLOAT_EQ(moments.parameter[1], -1.9F);
}

TEST(AdamW, RefusesWrongCounts) {
  expect_error([] { AdamWStep({}, 0, 0.1, true); }, "from 1");
  Moments moments({1.0F, 2.0F});
  const std::vector<float> short_gradient(1);
  expect_error([&] { adamw_update(AdamWStep({}, 1, 0.1, true), moments.state(), short_gradient, 1.0F); },
               "length");
}

}  // namespace
}  // namespace ranktune
