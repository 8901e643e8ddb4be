// label_loss, recomputed and the attentions against LibTorch's plain operations.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/functional/loss.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>
#include <vector>

#include "model/attention.h"
#include "model/kv_cache.h"
#include "model/label_loss.h"
#include "model/recompute.h"

namespace ranktune {
namespace {

double error_of(const torch::Tensor& found, const torch::Tensor& reference) {
  const torch::Tensor wide = reference.to(torch::kFloat64);
  return (found.to(torch::kFloat64) - wide).abs().max().item<double>() / wide.abs().max().item<double>();
}

torch::Tensor leaf(at::IntArrayRef sizes, double scale = 1) {
  return (torch::randn(sizes) * scale).requires_grad_();
}

class LabelLossTest : public testing::TestWithParam<std::int64_t> {};

TEST_P(LabelLossTest, IsTheSummedCrossEntropyWithItsGradients) {
  torch::manual_seed(11);
  const std::int64_t rows = GetParam();
  const torch::Tensor hidden = leaf({rows, 24}), weight = leaf({37, 24});
  const torch::Tensor targets = torch::randint(37, {rows}, torch::kInt64);
  const torch::Tensor loss = label_loss(hidden, weight, targets);
  EXPECT_EQ(loss.scalar_type(), torch::kFloat64);
  const torch::Tensor wide_hidden = hidden.detach().to(torch::kFloat64).requires_grad_();
  const torch::Tensor wide_weight = weight.detach().to(torch::kFloat64).requires_grad_();
  const torch::Tensor expected = torch::nn::functional::cross_entropy(
      torch::matmul(wide_hidden, wide_weight.t()), targets,
      torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kSum));
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-5 * expected.item<double>());
  (loss * 0.5).backward();
  (expected * 0.5).backward();
  EXPECT_LT(error_of(hidden.grad(), wide_hidden.grad()), 1e-5);
  EXPECT_LT(error_of(weight.grad(), wide_weight.grad()), 1e-5);
  EXPECT_NEAR(row_losses(hidden, weight, targets).sum(torch::kFloat64).item<double>(), loss.item<double>(),
              1e-5 * expected.item<double>());
}

// Below, at and above the chunk of 128 rows.
INSTANTIATE_TEST_SUITE_P(Rows, LabelLossTest, testing::Values(1, 127, 128, 129, 300));

/// Words that are nearly impossible have gradients too small for fp16; scaled, they are there.
TEST(LabelLoss, TheScaleSavesSmallGradientsInFp16) {
  const torch::Tensor weight = (torch::eye(8) * 4).to(torch::kFloat16);
  const torch::Tensor targets = torch::full({1}, 7, torch::kInt64);
  const auto gradient_of_others = [&](double scale) {
    torch::Tensor hidden = torch::zeros({1, 8}, torch::kFloat16);
    hidden[0][7] = 5;
    hidden.requires_grad_();
    const torch::Tensor loss = label_loss(hidden, weight, targets, scale);
    EXPECT_NEAR(loss.item<double>() / scale, std::log1p(7 * std::exp(-20)), 1e-7);
    loss.backward();
    return hidden.grad()[0].narrow(0, 0, 7).to(torch::kFloat64) / scale;
  };
  EXPECT_EQ(gradient_of_others(1).abs().max().item<double>(), 0);
  const torch::Tensor wanted = torch::full({7}, 4 * std::exp(-20), torch::kFloat64);
  EXPECT_LT(error_of(gradient_of_others(0x1p25), wanted), 1e-3);
}

TEST(LabelLoss, AFrozenHeadGetsNoGradient) {
  const torch::Tensor hidden = leaf({5, 8}), weight = torch::randn({9, 8});
  label_loss(hidden, weight, torch::zeros({5}, torch::kInt64)).backward();
  EXPECT_TRUE(hidden.grad().defined());
  EXPECT_FALSE(weight.grad().defined());
}

TEST(LabelLoss, TokenRowsCountInPlaceOfTheWeights) {
  torch::manual_seed(13);
  const torch::Tensor hidden = leaf({140, 8}), weight = torch::randn({9, 8}), rows = leaf({2, 8});
  const torch::Tensor ids = torch::tensor({7, 2}, torch::kInt64);
  const torch::Tensor targets = torch::randint(9, {140}, torch::kInt64);
  OutputHead head(weight);
  head.ids = ids, head.rows = rows;
  const torch::Tensor plain_hidden = hidden.detach().requires_grad_(),
                      plain_rows = rows.detach().requires_grad_();
  const torch::Tensor whole = weight.index_copy(0, ids, plain_rows);
  const torch::Tensor loss = label_loss(hidden, head, targets),
                      expected = label_loss(plain_hidden, whole, targets);
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-6 * expected.item<double>());
  loss.backward();
  expected.backward();
  EXPECT_LT(error_of(hidden.grad(), plain_hidden.grad()), 1e-5);
  EXPECT_LT(error_of(rows.grad(), plain_rows.grad()), 1e-5);
}

TEST(Recompute, GivesTheSameGradientsAndRunsTheFunctionAgain) {
  torch::manual_seed(12);
  const torch::Tensor x = leaf({6, 10}), w = leaf({10, 10}), frozen = torch::randn({10, 10});
  int calls = 0;
  const auto layer = [&](const torch::Tensor& in) {
    ++calls;
    return torch::tanh(torch::matmul(in, w)).matmul(frozen) + in;
  };
  const torch::Tensor plain = layer(x);
  const auto wanted = torch::autograd::grad({plain.square().sum()}, {x, w});
  calls = 0;
  const torch::Tensor y = recomputed(x, {w}, layer);
  EXPECT_TRUE(torch::equal(y, plain));
  EXPECT_EQ(calls, 1);
  const auto found = torch::autograd::grad({y.square().sum()}, {x, w});
  EXPECT_EQ(calls, 2);
  EXPECT_TRUE(torch::equal(found[0], wanted[0]));
  EXPECT_TRUE(torch::equal(found[1], wanted[1]));
}

TEST(Recompute, TheFirstLayersInputNeedsNoGradient) {
  const torch::Tensor x = torch::randn({3, 4}), w = leaf({4, 4});
  const auto layer = [&](const torch::Tensor& in) { return torch::matmul(in, w).square(); };
  const auto found = torch::autograd::grad({recomputed(x, {w}, layer).sum()}, {w});
  EXPECT_TRUE(torch::equal(found[0], torch::autograd::grad({layer(x).sum()}, {w})[0]));
}

TEST(Recompute, WithoutAGradientItIsAPlainCall) {
  const torch::Tensor x = torch::randn({3, 4});
  EXPECT_FALSE(recomputed(x, {}, [](const torch::Tensor& in) { return in * 2; }).requires_grad());
}

/// softmax(q k^T / sqrt(D) + mask) v with every score formed; q [T,H,D], k, v [S,Hkv,D]; mask [T,S] true
/// where seen.
torch::Tensor spelled_out(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                          const torch::Tensor& seen) {
  const std::int64_t group = q.size(1) / k.size(1);
  const torch::Tensor keys = k.repeat_interleave(group, 1), values = v.repeat_interleave(group, 1);
  torch::Tensor scores = torch::einsum("thd,shd->hts", {q, keys}) / std::sqrt(static_cast<double>(q.size(2)));
  scores = scores.masked_fill(~seen.unsqueeze(0), -INFINITY);
  return torch::einsum("hts,shd->thd", {scores.softmax(-1), values}).reshape({q.size(0), -1});
}

TEST(Attention, PackedExamplesSeeThemselvesAndThePast) {
  torch::manual_seed(13);
  const std::vector<std::int64_t> lengths{5, 1, 9};
  const torch::Tensor q = leaf({15, 6, 8}), k = leaf({15, 2, 8}), v = leaf({15, 2, 8});
  torch::Tensor seen = torch::zeros({15, 15}, torch::kBool);
  for (std::int64_t first = 0, i = 0; i < 3; first += lengths[static_cast<std::size_t>(i)], ++i) {
    const std::int64_t n = lengths[static_cast<std::size_t>(i)];
    seen.narrow(0, first, n).narrow(1, first, n).copy_(torch::ones({n, n}, torch::kBool).tril());
  }
  const torch::Tensor found = packed_attention(q, k, v, lengths), wanted = spelled_out(q, k, v, seen);
  EXPECT_LT(error_of(found, wanted), 1e-5);
  const torch::Tensor weights = torch::randn(found.sizes());
  const auto ours = torch::autograd::grad({(found * weights).sum()}, {q, k, v});
  const auto theirs = torch::autograd::grad({(wanted * weights).sum()}, {q, k, v});
  for (std::size_t i = 0; i < 3; ++i) EXPECT_LT(error_of(ours[i], theirs[i]), 1e-5) << i;
}

TEST(Attention, CachedPartsGiveWhatTheWholeGives) {
  torch::manual_seed(14);
  const torch::NoGradGuard no_grad;
  const torch::Tensor q = torch::randn({300, 4, 8}), k = torch::randn({300, 2, 8}),
                      v = torch::randn({300, 2, 8});
  const std::vector<std::int64_t> whole{300};
  const torch::Tensor wanted = packed_attention(q, k, v, whole);
  KvCache cache(1);  // grows past its first room of 128
  std::vector<torch::Tensor> parts;
  for (const std::int64_t count : {100, 1, 60, 1, 138}) {
    const std::int64_t at = cache.length();
    const auto [keys, values] = cache.append(0, k.narrow(0, at, count), v.narrow(0, at, count));
    ASSERT_EQ(keys.size(0), at + count);
    EXPECT_TRUE(torch::equal(keys, k.narrow(0, 0, at + count)));
    EXPECT_TRUE(torch::equal(values, v.narrow(0, 0, at + count)));
    parts.push_back(cached_attention(q.narrow(0, at, count), keys, values));
    cache.advance(count);
  }
  EXPECT_EQ(cache.length(), 300);
  EXPECT_LT(error_of(torch::cat(parts), wanted), 1e-5);
}

}  // namespace
}  // namespace ranktune
