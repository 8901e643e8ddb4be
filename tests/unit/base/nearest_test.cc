#include "base/nearest.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ranktune {
namespace {

const std::vector<std::string> kKeys{"lora.rank", "lora.alpha", "optimizer.lr", "schedule.kind", "device"};

TEST(Nearest, FindsSlipsOfThePen) {
  EXPECT_EQ(nearest("lora.rnk", kKeys), "lora.rank");     // left out
  EXPECT_EQ(nearest("lora.rankk", kKeys), "lora.rank");   // put in
  EXPECT_EQ(nearest("lora.rang", kKeys), "lora.rank");    // replaced
  EXPECT_EQ(nearest("lora.aplha", kKeys), "lora.alpha");  // swapped
  EXPECT_EQ(nearest("optimiser.lr", kKeys), "optimizer.lr");
  EXPECT_EQ(nearest("device", kKeys), "device");
}

TEST(Nearest, KnowsAKeyUnderTheWrongSectionOrNone) {
  EXPECT_EQ(nearest("train.lr", kKeys), "optimizer.lr");
  EXPECT_EQ(nearest("rank", kKeys), "lora.rank");
}

TEST(Nearest, GivesNothingWhereNothingIsNear) {
  EXPECT_EQ(nearest("quantisation_bits", kKeys), "");
  EXPECT_EQ(nearest("", kKeys), "");
  EXPECT_EQ(nearest("x", std::vector<std::string>{}), "");
}

TEST(Nearest, TakesTheEarlierOfTwoEquallyNear) {
  EXPECT_EQ(nearest("cat", std::vector<std::string>{"bat", "car"}), "bat");
}

TEST(DidYouMean, IsASuffixForMessages) {
  EXPECT_EQ(did_you_mean("lora.rnk", kKeys), "; did you mean \"lora.rank\"?");
  EXPECT_EQ(did_you_mean("quantisation_bits", kKeys), "");
}

}  // namespace
}  // namespace ranktune
