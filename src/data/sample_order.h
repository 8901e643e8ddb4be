#pragma once

#include <cstdint>

#include "base/random.h"

namespace ranktune {

/// The order in which rows are trained on, without end: position p is place p % rows of epoch p / rows, and
/// every epoch holds each row exactly once in an order of its own. A pure function of (rows, seed, position).
class SampleOrder {
 public:
  /// `shuffle` false: every epoch in the order of the file.
  SampleOrder(std::int64_t rows, std::uint64_t seed, bool shuffle = true);

  std::int64_t rows() const noexcept { return rows_; }
  std::int64_t row(std::int64_t position) const;
  std::int64_t epoch(std::int64_t position) const noexcept { return position / rows_; }

 private:
  std::int64_t rows_;
  std::uint64_t seed_;
  bool shuffle_;
};

}  // namespace ranktune
