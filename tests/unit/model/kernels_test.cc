// The fused operations against the composition of LibTorch's own, values and gradients.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "model/kernels/product.h"
#include "model/kernels/rms_norm.h"
#include "model/kernels/rope.h"
#include "model/kernels/row_math.h"
#include "model/kernels/swiglu.h"

namespace ranktune {
namespace {

using Operation = std::function<torch::Tensor(const std::vector<torch::Tensor>&)>;

double error_of(const torch::Tensor& found, const torch::Tensor& reference) {
  const torch::Tensor wide = reference.to(torch::kFloat64);
  return (found.to(torch::kFloat64) - wide).abs().max().item<double>() /
         std::max(wide.abs().max().item<double>(), 1e-30);
}

/// Compares y and all gradients of `ours` with those of `reference` computed in fp64 on the same inputs.
void expect_same(const std::vector<torch::Tensor>& inputs, const Operation& ours, const Operation& reference,
                 double tolerance) {
  std::vector<torch::Tensor> own, wide;
  for (const torch::Tensor& input : inputs) {
    own.push_back(input.detach().clone().requires_grad_());
    wide.push_back(input.detach().to(torch::kFloat64).requires_grad_());
  }
  const torch::Tensor y = ours(own), expected = reference(wide);
  ASSERT_EQ(y.sizes(), expected.sizes());
  EXPECT_EQ(y.scalar_type(), inputs.front().scalar_type());
  EXPECT_LT(error_of(y, expected), tolerance);
  const torch::Tensor dy = torch::randn(y.sizes()).to(y.scalar_type());
  const auto found = torch::autograd::grad({y}, own, {dy});
  const auto wanted = torch::autograd::grad({expected}, wide, {dy.to(torch::kFloat64)});
  for (std::size_t i = 0; i < found.size(); ++i)
    EXPECT_LT(error_of(found[i], wanted[i]), tolerance) << "gradient of input " << i;
}

/// fp32 rounding over rows of at most 200 elements; bf16 has 8 bits, fp16 has 11.
struct Precision {
  torch::ScalarType dtype;
  double tolerance;
};
class KernelTest : public testing::TestWithParam<Precision> {
 protected:
  void SetUp() override { torch::manual_seed(7); }
  torch::Tensor normal(at::IntArrayRef sizes, double scale = 1) const {
    return (torch::randn(sizes) * scale).to(GetParam().dtype);
  }
};

TEST_P(KernelTest, RmsNorm) {
  // Not of one element: its gradient is the difference of two numbers that are equal but for eps.
  for (const std::int64_t width : {7, 16, 128, 200}) {
    const auto reference = [](const std::vector<torch::Tensor>& in) {
      return torch::rms_norm(in[0], {in[0].size(-1)}, in[1], 1e-6);
    };
    const auto ours = [](const std::vector<torch::Tensor>& in) { return rms_norm(in[0], in[1], 1e-6); };
    expect_same({normal({19, width}, 3), normal({width})}, ours, reference, GetParam().tolerance);
    expect_same({normal({2, 3, width}, 0.01), normal({width})}, ours, reference, GetParam().tolerance);
  }
}

TEST_P(KernelTest, RmsNormOfARowOfZerosIsZero) {
  const torch::Tensor y = rms_norm(torch::zeros({2, 8}, GetParam().dtype), normal({8}), 1e-6);
  EXPECT_EQ(y.abs().max().item<float>(), 0.0f);
}

TEST_P(KernelTest, RmsNormOfATransposedInput) {
  const torch::Tensor x = normal({8, 5}), w = normal({5});
  const torch::Tensor turned = normal({5, 8}).t();
  EXPECT_TRUE(torch::equal(rms_norm(turned, w, 1e-6), rms_norm(turned.contiguous(), w, 1e-6)));
  EXPECT_EQ(rms_norm(x, w, 1e-6).sizes(), x.sizes());
}

TEST_P(KernelTest, SwiGlu) {
  const auto reference = [](const std::vector<torch::Tensor>& in) { return torch::silu(in[0]) * in[1]; };
  const auto ours = [](const std::vector<torch::Tensor>& in) { return swiglu(in[0], in[1]); };
  for (const std::int64_t width : {1, 33, 200})
    expect_same({normal({21, width}, 4), normal({21, width})}, ours, reference, GetParam().tolerance);
}

/// Rotation as complex multiplication: (x1 + i x2) e^(i angle).
torch::Tensor complex_rope(const torch::Tensor& x, const torch::Tensor& angles) {
  const auto halves = x.chunk(2, -1);
  const torch::Tensor turned =
      torch::complex(halves[0], halves[1]) * torch::polar(torch::ones_like(angles), angles).unsqueeze(1);
  return torch::cat({torch::real(turned), torch::imag(turned)}, -1);
}

TEST_P(KernelTest, Rope) {
  Architecture arch;
  arch.head_dim = 12;
  arch.rope_theta = 1000;
  const RopeTable table = make_rope_table(arch, {.count = 40}, torch::kCPU);
  ASSERT_EQ(table.cosine.sizes(), (std::vector<std::int64_t>{40, 6}));
  const torch::Tensor frequencies = torch::pow(1000.0, -torch::arange(6, torch::kFloat64) * 2 / 12.0);
  const torch::Tensor angles = torch::outer(torch::arange(40, torch::kFloat64), frequencies);
  expect_same(
      {normal({40, 3, 12})},
      [&](const std::vector<torch::Tensor>& in) { return apply_rope(in[0], table.cosine, table.sine); },
      [&](const std::vector<torch::Tensor>& in) { return complex_rope(in[0], angles); },
      GetParam().tolerance);
}

TEST_P(KernelTest, LinearProduct) {
  const auto reference = [](const std::vector<torch::Tensor>& in) {
    return torch::matmul(in[0], in[1].t()) + (in.size() > 2 ? in[2] : torch::zeros({}, torch::kFloat64));
  };
  for (const ProductMethod method : {ProductMethod::kNative, ProductMethod::kWide}) {
    const auto ours = [method](const std::vector<torch::Tensor>& in) {
      return linear_product(in[0], in[1], in.size() > 2 ? in[2] : torch::Tensor(), method);
    };
    for (const std::int64_t outputs : {1, 40}) {
      expect_same({normal({21, 33}), normal({outputs, 33})}, ours, reference, GetParam().tolerance);
      expect_same({normal({2, 5, 33}), normal({outputs, 33}), normal({outputs})}, ours, reference,
                  GetParam().tolerance);
    }
    expect_same({normal({2, 70000}), normal({130, 70000}), normal({130})}, ours, reference,
                GetParam().tolerance);  // more than is widened at once
  }
}

TEST_P(KernelTest, AWideProductIsRoundedOnce) {
  const torch::Tensor x = normal({19, 70}), w = normal({11, 70}), shift = normal({11}), b = normal({70, 11});
  const auto wide = [](const torch::Tensor& narrow) { return narrow.to(torch::kFloat32); };
  EXPECT_TRUE(torch::equal(linear_product(x, w, shift, ProductMethod::kWide),
                           (torch::addmm(wide(shift), wide(x), wide(w).t())).to(GetParam().dtype)));
  EXPECT_TRUE(torch::equal(product(x, b, ProductMethod::kWide),
                           torch::matmul(wide(x), wide(b)).to(GetParam().dtype)));
}

TEST_P(KernelTest, AProductOfManyRowsIsTheSumOfItsParts) {
  const torch::Tensor a = normal({3, 130}), b = normal({130, 70000});
  EXPECT_LT(error_of(product(a, b, ProductMethod::kWide),
                     torch::matmul(a.to(torch::kFloat64), b.to(torch::kFloat64))),
            GetParam().tolerance);
}

TEST(ProductMethodTest, Fp32AndSingleRowsAreNative) {
  EXPECT_EQ(product_method(torch::zeros({5, 8})), ProductMethod::kNative);
  EXPECT_EQ(product_method(torch::zeros({1, 8}, torch::kBFloat16)), ProductMethod::kNative);
  EXPECT_EQ(product_method(torch::zeros({0, 8}, torch::kBFloat16)), ProductMethod::kNative);
}

INSTANTIATE_TEST_SUITE_P(Dtypes, KernelTest,
                         testing::Values(Precision{torch::kFloat32, 4e-6}, Precision{torch::kBFloat16, 1e-2},
                                         Precision{torch::kFloat16, 1.25e-3}),
                         [](const auto& each) {
                           return each.param.dtype == torch::kFloat32    ? "fp32"
                                  : each.param.dtype == torch::kBFloat16 ? "bf16"
                                                                         : "fp16";
                         });

TEST(RopeTable, LinearScalingDividesThePositions) {
  Architecture arch;
  arch.head_dim = 8;
  const RopeTable plain = make_rope_table(arch, {.count = 32}, torch::kCPU);
  arch.rope_scaling = {.kind = RopeScaling::Kind::kLinear, .factor = 4};
  const RopeTable scaled = make_rope_table(arch, {.count = 32}, torch::kCPU);
  EXPECT_LT(error_of(scaled.cosine[28], plain.cosine[7]), 1e-6);
  EXPECT_LT(error_of(scaled.sine[28], plain.sine[7]), 1e-6);
}

/// Narrows and widens, and holds both against LibTorch's conversions.
template <typename Narrow>
void expect_conversions(const torch::Tensor& x, torch::ScalarType dtype) {
  torch::Tensor found = torch::empty({x.numel()}, dtype);
  narrow_row(x.const_data_ptr<float>(), found.data_ptr<Narrow>(), x.numel());
  const torch::Tensor wanted = x.to(dtype);
  const torch::Tensor same = found.view(torch::kInt16) == wanted.view(torch::kInt16);
  EXPECT_TRUE((same | (found.isnan() & wanted.isnan())).all().item<bool>());
  torch::Tensor back = torch::empty_like(x);
  widen_row(found.const_data_ptr<Narrow>(), back.data_ptr<float>(), x.numel());
  EXPECT_TRUE(torch::allclose(back, wanted.to(torch::kFloat32), 0, 0, /*equal_nan=*/true));
}

TEST(RowMath, NarrowingRoundsAsLibTorchDoes) {
  torch::manual_seed(3);
  const torch::Tensor x = torch::randint(std::numeric_limits<std::int32_t>::min(),
                                         std::numeric_limits<std::int32_t>::max(), {100000}, torch::kInt32)
                              .view(torch::kFloat32);  // any bits: subnormals, infinities and NaN too
  expect_conversions<c10::BFloat16>(x, torch::kBFloat16);
  expect_conversions<c10::Half>(x, torch::kFloat16);
}

/// Every fp16 number, what lies in the middle between two, and a little to both sides of that.
TEST(RowMath, NarrowingToFp16RoundsTiesToEven) {
  const torch::Tensor all =
      torch::arange(0, 0x7C00, torch::kInt32).to(torch::kInt16).view(torch::kFloat16).to(torch::kFloat32);
  const torch::Tensor next = torch::cat({all.slice(0, 1), torch::full({1}, 65536.0f)});
  const torch::Tensor middle = (all + next) / 2;
  for (const torch::Tensor& x : {all, middle, middle * (1 + 0x1p-20), middle * (1 - 0x1p-20)}) {
    expect_conversions<c10::Half>(x.contiguous(), torch::kFloat16);
    expect_conversions<c10::Half>((-x).contiguous(), torch::kFloat16);
  }
}

TEST(RowMath, SumsOfAnyLength) {
  torch::manual_seed(4);
  for (const std::int64_t count : {0, 1, 15, 16, 17, 1000}) {
    const torch::Tensor x = torch::randn({count}), y = torch::randn({count});
    const torch::Tensor wide = x.to(torch::kFloat64);
    EXPECT_NEAR(static_cast<double>(square_sum(x.const_data_ptr<float>(), count)),
                wide.square().sum().item<double>(), 1e-6 * static_cast<double>(count + 1));
    EXPECT_NEAR(static_cast<double>(dot(x.const_data_ptr<float>(), y.const_data_ptr<float>(), count)),
                (wide * y.to(torch::kFloat64)).sum().item<double>(),
                1e-5 * std::sqrt(static_cast<double>(count + 1)));
  }
}

TEST(RowMath, ExponentialIsWithinTwoUnits) {
  const torch::Tensor x = torch::linspace(-86.9, 86.9, 200001);
  torch::Tensor found = torch::empty_like(x);
  exp_row(x.const_data_ptr<float>(), found.data_ptr<float>(), x.numel());
  const torch::Tensor wanted = x.to(torch::kFloat64).exp();
  const double worst = ((found.to(torch::kFloat64) - wanted) / wanted).abs().max().item<double>();
  EXPECT_LT(worst, 2 * 1.2e-7);
  const std::vector<float> far{-1000.0f, 1000.0f};
  std::vector<float> clamped(2);
  exp_row(far.data(), clamped.data(), 2);
  EXPECT_GE(clamped[0], 0.0f);
  EXPECT_LT(clamped[0], 1e-37f);
  EXPECT_TRUE(std::isfinite(clamped[1]));
}

}  // namespace
}  // namespace ranktune
