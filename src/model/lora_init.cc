#include "model/lora_init.h"

#include <torch/utils.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>
#include <string_view>

#include "base/error.h"
#include "base/random.h"

namespace ranktune {
namespace {

/// [rows,columns] fp32 of draw(index, random).
template <typename Draw>
torch::Tensor drawn(std::int64_t rows, std::int64_t columns, std::uint64_t seed, Draw&& draw) {
  torch::Tensor values = torch::empty({rows, columns});
  float* out = values.data_ptr<float>();
  const CounterRandom random(seed);
  for (std::int64_t i = 0; i < rows * columns; ++i)
    out[i] = static_cast<float>(draw(static_cast<std::uint64_t>(i), random));
  return values;
}

/// Box-Muller; 1 - uniform is never 0.
double normal(std::uint64_t index, const CounterRandom& random) {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - random.uniform(2 * index)));
  return radius * std::cos(2.0 * std::numbers::pi * random.uniform(2 * index + 1));
}

struct Svd {
  torch::Tensor u, s, vt;
};

Svd exact_svd(const torch::Tensor& weight) {
  auto [u, s, vt] = torch::linalg_svd(weight, /*full_matrices=*/false);
  return {u, s, vt};
}

/// Halko et al. 2009, algorithm 5.1 after a subspace iteration, as torch.svd_lowrank does it.
Svd randomised_svd(const torch::Tensor& weight, std::int64_t rank, std::int64_t iterations,
                   std::uint64_t seed) {
  const auto basis = [](const torch::Tensor& matrix) { return std::get<0>(torch::linalg_qr(matrix)); };
  torch::Tensor q =
      basis(torch::matmul(weight, drawn(weight.size(1), rank, seed, normal).to(weight.device())));
  for (std::int64_t i = 0; i < iterations; ++i)
    q = basis(torch::matmul(weight, basis(torch::matmul(weight.t(), q))));
  const Svd small = exact_svd(torch::matmul(q.t(), weight));
  return {torch::matmul(q, small.u), small.s, small.vt};
}

}  // namespace

std::optional<PissaMethod> pissa_method(const std::string& init) {
  constexpr std::string_view kIterated = "pissa_niter_";
  if (init == "default" || init == "gaussian") return std::nullopt;
  if (init == "pissa") return PissaMethod{};
  std::int64_t iterations = -1;
  const char* end = init.data() + init.size();
  const bool iterated = init.starts_with(kIterated) &&
                        std::from_chars(init.data() + kIterated.size(), end, iterations).ptr == end;
  require(iterated && iterations >= 0 && iterations <= 1000,
          "lora.init is \"{}\", but must be \"default\", \"gaussian\", \"pissa\" or \"pissa_niter_N\" (N "
          "rounds, for instance pissa_niter_4)",
          init);
  return PissaMethod{.iterations = iterations};
}

torch::Tensor new_lora_a(const LoraOptions& options, std::int64_t rank, std::int64_t in, std::uint64_t seed) {
  if (options.init == "gaussian") return drawn(rank, in, seed, normal).div_(static_cast<double>(rank));
  const double bound = 1.0f / std::sqrt(static_cast<float>(in));
  return drawn(rank, in, seed,
               [](std::uint64_t index, const CounterRandom& random) {
                 return random.uniform(index) * 2.0 - 1.0;
               })
      .mul_(bound);
}

void find_principal_parts(Decoder& decoder, const PissaMethod& method, std::uint64_t seed,
                          const std::function<void()>& progress) {
  const torch::NoGradGuard no_grad;
  for (Linear* linear : decoder.linears()) {
    if (!linear->lora) continue;
    LoraUpdate& lora = *linear->lora;
    const std::int64_t rank = lora.a->value.size(0);
    require(rank <= std::min(linear->in_features(), linear->out_features()),
            "lora.rank: {} has no {} singular values for PiSSA; the smaller side of its weight is {}",
            linear->name, rank, std::min(linear->in_features(), linear->out_features()));
    const torch::Tensor weight = linear->weight->value.to(torch::kFloat32);
    const Svd svd = method.iterations
                        ? randomised_svd(weight, rank, *method.iterations, mix_seed(seed, lora.site))
                        : exact_svd(weight);
    const torch::Tensor root = (svd.s.narrow(0, 0, rank) / lora.scale).sqrt();
    lora.a->value = (root.unsqueeze(1) * svd.vt.narrow(0, 0, rank)).contiguous();
    lora.b->value = (svd.u.narrow(1, 0, rank) * root).contiguous();
    if (progress) progress();
  }
}

void take_out_of_base(Decoder& decoder) {
  const torch::NoGradGuard no_grad;
  for (Linear* linear : decoder.linears()) {
    // Out already where a run goes back to a checkpoint of its own.
    if (!linear->lora || linear->lora->start_a.defined()) continue;
    LoraUpdate& lora = *linear->lora;
    lora.start_a = lora.a->value.to(torch::kFloat32, /*non_blocking=*/false, /*copy=*/true);
    lora.start_b = lora.b->value.to(torch::kFloat32, /*non_blocking=*/false, /*copy=*/true);
    const torch::Tensor rest =
        linear->weight->value.to(torch::kFloat32) - torch::matmul(lora.start_b, lora.start_a) * lora.scale;
    linear->weight->value = rest.to(linear->weight->value.scalar_type());
  }
}

}  // namespace ranktune
