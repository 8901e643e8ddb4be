#pragma once

#include <cstdint>

namespace ranktune {

/// How slot gradients are summed over slots and ranks.
enum class GradientReduce {
  kExact,  ///< 64-bit fixed point: the same bits for every order, rank count and algorithm
  kFp32,   ///< float: half the bytes, for full fine-tuning
};

struct ZeroOptions {
  int stage = 2;  ///< 2 is what there is: gradients and optimizer state are partitioned
  GradientReduce reduce = GradientReduce::kExact;
  double max_grad_norm = 1.0;  ///< global L2 norm above which gradients are scaled down; 0: never
};

/// As torch.optim.AdamW takes them (decoupled decay, eps outside the square root).
struct AdamWOptions {
  double lr = 1e-4;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.0;
};

enum class ScheduleKind { kConstant, kLinear, kCosine };

struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::kCosine;
  double warmup_ratio = 0.0;       ///< share of all steps, rounded up
  std::int64_t warmup_steps = -1;  ///< overrides the ratio where >= 0
  double min_lr_ratio = 0.0;       ///< where linear and cosine end, as a share of the peak
};

}  // namespace ranktune
