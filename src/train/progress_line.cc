#include "train/progress_line.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/log.h"

namespace ranktune {
namespace {

std::string clock_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::max(seconds, 0.0) + 0.5);
  return whole >= 3600 ? fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60)
                       : fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

std::string progress_text(const StepProgress& p) {
  const std::string share = p.gemm_share > 0 ? fmt::format(" ({:.0f} % of GEMM)", p.gemm_share * 100) : "";
  return fmt::format(
      "step {}/{}  loss {:.4f}  lr {:.2e}  grad {:.3g}  {:.0f} tok/s{}  data wait {:.1f} %  ETA {}", p.step,
      p.total, p.loss, p.lr, p.grad_norm, p.tokens_per_s, share, p.wait_share * 100,
      clock_text(p.seconds_left));
}

ProgressLine::ProgressLine(std::int64_t plain_interval)
    : terminal_(::isatty(STDERR_FILENO) == 1), plain_interval_(std::max<std::int64_t>(plain_interval, 1)) {}

void ProgressLine::show(const StepProgress& progress) {
  if (terminal_) {
    fmt::print(stderr, "\r\x1b[2K{}", progress_text(progress));
    std::fflush(stderr);
    open_ = true;
    if (progress.step == progress.total) finish();
  } else if (progress.step % plain_interval_ == 0 || progress.step == progress.total) {
    log_info("{}", progress_text(progress));
  }
}

void ProgressLine::finish() {
  if (open_) fmt::print(stderr, "\n");
  open_ = false;
}

}  // namespace ranktune
