#pragma once

#include <torch/types.h>

#include <functional>
#include <vector>

namespace ranktune {

/// y = function(x), keeping only x for the backward pass, which computes the rest again (Chen et al. 2016).
/// `leaves`: every tensor requiring a gradient that `function` uses besides x. `function` must compute the
/// same thing each time.
torch::Tensor recomputed(const torch::Tensor& x, const std::vector<torch::Tensor>& leaves,
                         std::function<torch::Tensor(const torch::Tensor&)> function);

}  // namespace ranktune
