#pragma once

#include <torch/types.h>

namespace ranktune {

/// How a product of matrices of 16-bit floating point numbers is computed.
enum class ProductMethod {
  kNative,  ///< by LibTorch in that type
  kWide,    ///< in fp32, and rounded once
};

/// kWide on CPUs for whose lack of instructions LibTorch multiplies element by element (bf16: x86 without
/// AVX-512; fp16: x86 without AVX512-FP16), 10 to 40 times slower than fp32; but not for a single row of `x`,
/// for which it has fast code everywhere. kNative for fp32 and other devices.
ProductMethod product_method(const torch::Tensor& x);

/// x wᵀ + shift, in x's type: x [...,K], w [N,K], shift [N] or undefined: [...,N]. Differentiable in all
/// three.
torch::Tensor linear_product(const torch::Tensor& x, const torch::Tensor& w, const torch::Tensor& shift,
                             ProductMethod method);
inline torch::Tensor linear_product(const torch::Tensor& x, const torch::Tensor& w,
                                    const torch::Tensor& shift = {}) {
  return linear_product(x, w, shift, product_method(x));
}

/// a b, in their type: a [M,N], b [N,K]: [M,K]. Not differentiable when it is wide.
torch::Tensor product(const torch::Tensor& a, const torch::Tensor& b, ProductMethod method);
inline torch::Tensor product(const torch::Tensor& a, const torch::Tensor& b) {
  return product(a, b, product_method(a));
}

}  // namespace ranktune
