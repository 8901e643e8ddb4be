#include "eval/sampler.h"

#include "base/random.h"

namespace ranktune {

std::int32_t sample(const torch::Tensor& logits, const SamplingOptions& options, std::uint64_t index) {
  if (options.temperature <= 0) return static_cast<std::int32_t>(logits.argmax().item<std::int64_t>());
  const torch::Tensor probabilities = torch::softmax(logits.to(torch::kFloat64) / options.temperature, -1);
  const auto [sorted, order] = probabilities.sort(/*stable=*/true, /*dim=*/-1, /*descending=*/true);
  const torch::Tensor running = sorted.cumsum(-1).cpu();
  const double* reached = running.const_data_ptr<double>();
  const std::int64_t count = running.size(0);
  std::int64_t kept = 0;  // tokens of the nucleus
  while (kept + 1 < count && reached[kept] < options.top_p) ++kept;
  const double drawn = CounterRandom(options.seed).uniform(index) * reached[kept];
  std::int64_t place = 0;
  while (place < kept && reached[place] <= drawn) ++place;
  return static_cast<std::int32_t>(order[place].item<std::int64_t>());
}

}  // namespace ranktune
