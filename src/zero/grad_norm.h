#pragma once

#include <span>

namespace ranktune {

/// Sums of squares of consecutive blocks of kBlock values, in double: element i of a block meets i + 128,
/// then i + 64, and so on. The order is part of the result, so no thread count, vector width or rank count
/// changes a bit. values.size() == kBlock * sums.size().
void block_square_sums(std::span<const float> values, std::span<double> sums);

/// Square root of the block sums added first to last.
double norm_of_blocks(std::span<const double> sums);

/// Factor of torch.nn.utils.clip_grad_norm_: min(1, max_norm / (norm + 1e-6)); 1 where max_norm is 0.
float clip_factor(double norm, double max_norm);

}  // namespace ranktune
