#pragma once

#include <torch/types.h>

#include <string>

#include "verify/figure.h"
#include "verify/golden_model.h"

namespace ranktune {

/// The bare model: logits, losses and hidden states of the main batch, and (in fp32) greedy decoding, once by
/// whole forward passes and once token by token with a key/value cache.
void check_bare_model(GoldenModel& golden, torch::Device device, Findings& findings);

/// A variant's logits, loss and gradients (kept and recomputed activations) on the main batch, and the logits
/// and weights of the merged model where they are recorded. "full": the gradients of all weights.
void check_variant(GoldenModel& golden, const std::string& variant, torch::Device device, Findings& findings);

}  // namespace ranktune
