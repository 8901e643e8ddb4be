#include "train/progress_line.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string>

namespace ranktune {
namespace {

StepProgress at_step(std::int64_t step, std::int64_t total = 10) {
  return {.step = step,
          .total = total,
          .loss = 1.23456,
          .lr = 4.5e-4,
          .grad_norm = 0.8712,
          .tokens_per_s = 310.4,
          .gemm_share = 0.434,
          .wait_share = 0.021,
          .seconds_left = 130.2};
}

TEST(ProgressText, SaysAllFigures) {
  EXPECT_EQ(
      progress_text(at_step(3)),
      "step 3/10  loss 1.2346  lr 4.50e-04  grad 0.871  310 tok/s (43 % of GEMM)  data wait 2.1 %  ETA 2:10");
  StepProgress long_run = at_step(3);
  long_run.gemm_share = 0;
  long_run.seconds_left = 3 * 3600 + 25 * 60 + 7;
  EXPECT_EQ(progress_text(long_run),
            "step 3/10  loss 1.2346  lr 4.50e-04  grad 0.871  310 tok/s  data wait 2.1 %  ETA 3:25:07");
  long_run.seconds_left = -1;
  EXPECT_TRUE(progress_text(long_run).ends_with("ETA 0:00"));
}

/// What is written to stderr while it is `descriptor`.
template <typename Action>
void with_stderr(int descriptor, const Action& action) {
  std::fflush(stderr);
  const int kept = ::dup(STDERR_FILENO);
  ::dup2(descriptor, STDERR_FILENO);
  action();
  std::fflush(stderr);
  ::dup2(kept, STDERR_FILENO);
  ::close(kept);
}

std::string available(int descriptor) {
  ::fcntl(descriptor, F_SETFL, O_NONBLOCK);
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t got = 0; (got = ::read(descriptor, buffer.data(), buffer.size())) > 0;)
    text.append(buffer.data(), static_cast<std::size_t>(got));
  return text;
}

TEST(ProgressLine, IsPlainLinesAtTheIntervalAndTheEndElsewhereThanOnATerminal) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  with_stderr(ends[1], [] {
    ProgressLine line(4);
    for (std::int64_t step = 1; step <= 10; ++step) line.show(at_step(step));
    line.finish();
  });
  EXPECT_EQ(available(ends[0]), progress_text(at_step(4)) + "\n" + progress_text(at_step(8)) + "\n" +
                                    progress_text(at_step(10)) + "\n");
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(ProgressLine, IsOverwrittenOnATerminal) {
  int terminal = -1, program = -1;
  ASSERT_EQ(::openpty(&terminal, &program, nullptr, nullptr, nullptr), 0);
  with_stderr(program, [] {
    ProgressLine line(4);
    line.show(at_step(1));
    line.show(at_step(2));
    line.finish();
    line.finish();  // a second one says nothing
  });
  const std::string clear = "\r\x1b[2K";
  EXPECT_EQ(available(terminal),
            clear + progress_text(at_step(1)) + clear + progress_text(at_step(2)) + "\r\n");
  ::close(program);
  ::close(terminal);
}

}  // namespace
}  // namespace ranktune
