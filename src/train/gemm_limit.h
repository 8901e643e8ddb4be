#pragma once

#include "model/decoder.h"

namespace ranktune {

/// Floating-point operations a second that this rank reaches on matrix products of the model's shapes in its
/// compute dtype, measured for about a quarter of a second: what the progress line's share is of.
double measure_gemm_limit(const Decoder& decoder, std::int64_t tokens);

/// Operations of one training step's matrix products: twice the weights per token for the forward pass and
/// for each gradient formed (input; weight too in full fine-tuning). The head counts only for supervised
/// tokens.
double step_operations(const Decoder& decoder, bool trains_all, std::int64_t tokens,
                       std::int64_t supervised_tokens);

}  // namespace ranktune
