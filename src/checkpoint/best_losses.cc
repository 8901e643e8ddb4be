#include "checkpoint/best_losses.h"

#include <algorithm>
#include <cmath>

#include "base/numeric.h"

namespace ranktune {

BestLosses::BestLosses(std::int64_t count)
    : kept_(narrow<std::size_t>(count, "checkpoint.keep_best")),
      remembered_(std::max<std::size_t>(kept_, 1)) {}

bool BestLosses::add(double loss) {
  if (!std::isfinite(loss)) return false;
  const auto place = std::ranges::upper_bound(losses_, loss);
  const auto rank = static_cast<std::size_t>(place - losses_.begin());
  losses_.insert(place, loss);
  if (losses_.size() > remembered_) losses_.pop_back();
  return rank < kept_;
}

std::optional<double> BestLosses::lowest() const {
  return losses_.empty() ? std::nullopt : std::optional(losses_.front());
}

}  // namespace ranktune
