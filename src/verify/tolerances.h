#pragma once

namespace ranktune {

/// How near fp32 results must be to the recorded ones. Each limit lies well above what a correct computation
/// deviates by (its own distance to fp64) and well below what the mistakes it is to catch cause.
namespace tolerance {

/// Share of the largest absolute logit or hidden state; a correct one lies near 1e-6.
inline constexpr double kLogits = 2e-4;
/// Relative. A correct one lies near 2e-7 over a whole training; leaving weight decay out moves some losses
/// by only 1e-4.
inline constexpr double kLoss = 1e-5;
/// Share of the tensor's largest entry; a correct one lies near 3e-6.
inline constexpr double kGradient = 1e-4;
/// Relative.
inline constexpr double kGradientNorm = 1e-4;
/// Share of the peak learning rate: the same formula in double precision.
inline constexpr double kLearningRate = 1e-6;
/// Share of the tensor's largest entry. AdamW's first moment is a mean of gradients and deviates as they do,
/// the second one of their squares, which double the relative deviation.
inline constexpr double kFirstMoment = 1e-4, kSecondMoment = 2e-4;
/// Absolute. Correct ones are within 2e-6; leaving weight decay out gives 4e-4.
inline constexpr double kParameter = 2e-5;
/// Some gradients of key biases are zero but for rounding, which Adam enlarges.
inline constexpr double kKeyBias = 5e-4;
/// Share of the tensor's largest entry: one matrix product and one sum in fp32.
inline constexpr double kMergedWeight = 1e-5;
/// Absolute, of the real model whose logits reach 30.
inline constexpr double kRealLogits = 5e-4;

/// In bf16 and fp16, as multiples of their unit roundoff (2^-8, 2^-11): transformers' own deviation from fp32
/// in these types is at most 5.3 for logits, 0.2 for the loss (relative) and 11.3 for a gradient, over the
/// models and adapters of tests/data/golden (precision.json there). These are about twice that.
inline constexpr double kLogitUnits = 10, kLossUnits = 0.4, kGradientUnits = 22;

}  // namespace tolerance

}  // namespace ranktune
