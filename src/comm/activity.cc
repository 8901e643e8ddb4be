#include "comm/activity.h"

#include <algorithm>
#include <array>
#include <chrono>

namespace ranktune {
namespace {

constexpr std::array<std::string_view, 13> kPhaseNames = {
    "start",     "load_model", "load_checkpoint", "data",       "forward", "backward", "reduce_scatter",
    "optimizer", "all_gather", "validation",      "checkpoint", "export",  "finish"};
static_assert(kPhaseNames.size() == static_cast<std::size_t>(Phase::kFinish) + 1);

using Clock = std::chrono::steady_clock;

std::int64_t nanoseconds(Clock::time_point time) noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

std::int64_t now_ns() noexcept { return nanoseconds(Clock::now()); }

}  // namespace

std::string_view phase_name(Phase phase) noexcept {
  const auto index = static_cast<std::size_t>(phase);
  return index < kPhaseNames.size() ? kPhaseNames[index] : "unknown";
}

Activity::Activity() : phase_(static_cast<std::int64_t>(Phase::kStart)), step_(0), progress_ns_(now_ns()) {}

void Activity::enter(Phase phase, std::int64_t step) noexcept {
  phase_.store(static_cast<std::int64_t>(phase), std::memory_order_relaxed);
  step_.store(step, std::memory_order_relaxed);
  progress();
}

void Activity::progress() noexcept { progress_ns_.store(now_ns(), std::memory_order_relaxed); }

void Activity::begin_wait() noexcept { waiting_ns_.store(now_ns(), std::memory_order_relaxed); }

void Activity::end_wait() noexcept {
  // What follows a wait is new work: its time counts from here.
  progress();
  waiting_ns_.store(0, std::memory_order_relaxed);
}

void Activity::forgive(double seconds) noexcept {
  // A moment later than now, where the main thread has just written one, counts as now in report().
  const auto shift = static_cast<std::int64_t>(seconds * 1e9);
  progress_ns_.fetch_add(shift, std::memory_order_relaxed);
  std::int64_t began = waiting_ns_.load(std::memory_order_relaxed);
  if (began != 0) waiting_ns_.compare_exchange_strong(began, began + shift, std::memory_order_relaxed);
}

ActivityReport Activity::report(Clock::time_point now) const noexcept {
  const auto seconds_since = [now = nanoseconds(now)](std::int64_t then) {
    return static_cast<double>(std::max<std::int64_t>(now - then, 0)) * 1e-9;
  };
  ActivityReport report;
  report.phase = static_cast<Phase>(phase_.load(std::memory_order_relaxed));
  report.step = step_.load(std::memory_order_relaxed);
  report.since_progress = seconds_since(progress_ns_.load(std::memory_order_relaxed));
  if (const std::int64_t began = waiting_ns_.load(std::memory_order_relaxed); began != 0) {
    report.waiting = seconds_since(began);
  }
  return report;
}

}  // namespace ranktune
