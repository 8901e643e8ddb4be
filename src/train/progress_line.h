#pragma once

#include <cstdint>
#include <string>

namespace ranktune {

/// What the progress line says of a step.
struct StepProgress {
  std::int64_t step = 0;  ///< finished steps
  std::int64_t total = 0;
  double loss = 0, lr = 0, grad_norm = 0;
  double tokens_per_s = 0;  ///< real tokens of all ranks
  double gemm_share = 0;    ///< of the matrix-product limit measured at the start, 0..1; 0: not measured
  double wait_share = 0;    ///< of the step's time spent waiting for data, 0..1
  double seconds_left = 0;
};

/// "step 12/90  loss 1.2345  lr 4.5e-04  grad 0.87  310 tok/s (43 % of GEMM)  data wait 0.0 %  ETA 2:10".
std::string progress_text(const StepProgress& progress);

/// One line on stderr that is overwritten where stderr is a terminal; elsewhere a plain line at most every
/// `plain_interval` steps, and for the last step.
class ProgressLine {
 public:
  explicit ProgressLine(std::int64_t plain_interval);
  void show(const StepProgress& progress);
  /// Ends an overwritten line, before other output.
  void finish();

 private:
  bool terminal_;
  std::int64_t plain_interval_;
  bool open_ = false;
};

}  // namespace ranktune
