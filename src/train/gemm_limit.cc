#include "train/gemm_limit.h"

#include <torch/utils.h>

#include <algorithm>
#include <chrono>

#include "model/kernels/product.h"

namespace ranktune {
namespace {

/// Waits for the device, so that the clock sees finished work.
void synchronize(const torch::Tensor& result) { result.narrow(0, 0, 1).narrow(1, 0, 1).item<float>(); }

}  // namespace

double measure_gemm_limit(const Decoder& decoder, std::int64_t tokens) {
  const torch::NoGradGuard no_grad;
  const Architecture& arch = decoder.architecture();
  const auto options = torch::TensorOptions().dtype(decoder.dtype()).device(decoder.device());
  // A GPU shows its limit with much work that is not waited for product by product.
  const bool gpu = decoder.device().is_cuda();
  if (gpu) tokens = std::max<std::int64_t>(tokens, 4096);
  const int burst = gpu ? 16 : 1;
  const torch::Tensor x = torch::ones({tokens, arch.hidden_size}, options);
  const torch::Tensor w = torch::ones({arch.intermediate_size, arch.hidden_size}, options);
  const double operations = 2.0 * static_cast<double>(tokens * arch.hidden_size * arch.intermediate_size);
  synchronize(linear_product(x, w));
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  double done = 0, seconds = 0;
  do {
    torch::Tensor y;
    for (int i = 0; i < burst; ++i) y = linear_product(x, w);
    synchronize(y);
    done += burst * operations;
    seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  } while (seconds < 0.25);
  return done / seconds;
}

double step_operations(const Decoder& decoder, bool trains_all, std::int64_t tokens,
                       std::int64_t supervised_tokens) {
  const Architecture& arch = decoder.architecture();
  const std::int64_t attention = arch.hidden_size * arch.head_dim * (2 * arch.heads + 2 * arch.kv_heads);
  const std::int64_t layer = attention + 3 * arch.hidden_size * arch.intermediate_size;
  const double passes = trains_all ? 6.0 : 4.0;
  return passes *
         (static_cast<double>(layer * arch.layers) * static_cast<double>(tokens) +
          static_cast<double>(arch.vocab_size * arch.hidden_size) * static_cast<double>(supervised_tokens));
}

}  // namespace ranktune
