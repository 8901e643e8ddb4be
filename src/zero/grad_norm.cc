#include "zero/grad_norm.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "base/error.h"
#include "zero/flat_layout.h"

namespace ranktune {

void block_square_sums(std::span<const float> values, std::span<double> sums) {
  constexpr auto kSize = static_cast<std::size_t>(kBlock);
  require(values.size() == sums.size() * kSize, "{} values are not {} blocks of {}", values.size(),
          sums.size(), kSize);
  for (std::size_t block = 0; block < sums.size(); ++block) {
    const float* value = values.data() + block * kSize;
    std::array<double, kSize / 2> partial{};
    for (std::size_t i = 0; i < kSize / 2; ++i) {
      const auto low = static_cast<double>(value[i]);
      const auto high = static_cast<double>(value[i + kSize / 2]);
      partial[i] = low * low + high * high;
    }
    for (std::size_t half = kSize / 4; half >= 1; half /= 2)
      for (std::size_t i = 0; i < half; ++i) partial[i] += partial[i + half];
    sums[block] = partial[0];
  }
}

double norm_of_blocks(std::span<const double> sums) {
  double total = 0.0;
  for (const double sum : sums) total += sum;
  return std::sqrt(total);
}

float clip_factor(double norm, double max_norm) {
  if (max_norm <= 0.0) return 1.0F;
  return static_cast<float>(std::min(1.0, max_norm / (norm + 1e-6)));
}

}  // namespace ranktune
