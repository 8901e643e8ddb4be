#pragma once

#include <algorithm>
#include <ctime>

namespace ranktune {

/// The least processor time, in seconds, of three calls: what else the machine does counts little in it.
template <typename Call>
double least_cpu_seconds(const Call& call) {
  double least = 1e9;
  for (int i = 0; i < 3; ++i) {
    const std::clock_t begin = std::clock();
    call();
    least = std::min(least, static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
  }
  return least;
}

}  // namespace ranktune
