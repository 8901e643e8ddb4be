#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "base/error.h"

namespace ranktune {

/// `value` as To; throws when it does not fit.
template <typename To, typename From>
To narrow(From value, const char* what = "number") {
  static_assert(std::is_integral_v<To> && std::is_integral_v<From>);
  require(std::in_range<To>(value), "{} {} does not fit in {} bits", what, value, sizeof(To) * 8);
  return static_cast<To>(value);
}

/// a / b where b divides a; throws with both numbers otherwise.
inline std::int64_t div_exact(std::int64_t a, std::int64_t b, const char* what = "number") {
  require(b != 0 && a % b == 0, "{} {} is not a multiple of {}", what, a, b);
  return a / b;
}

constexpr std::int64_t div_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr std::int64_t round_up(std::int64_t a, std::int64_t multiple) {
  return div_up(a, multiple) * multiple;
}

/// a * b for sizes read from files: throws instead of wrapping around.
inline std::uint64_t checked_mul(std::uint64_t a, std::uint64_t b, const char* what = "size") {
  std::uint64_t result = 0;
  require(!__builtin_mul_overflow(a, b, &result), "{} {} x {} is beyond 64 bits", what, a, b);
  return result;
}
inline std::uint64_t checked_add(std::uint64_t a, std::uint64_t b, const char* what = "size") {
  std::uint64_t result = 0;
  require(!__builtin_add_overflow(a, b, &result), "{} {} + {} is beyond 64 bits", what, a, b);
  return result;
}

}  // namespace ranktune
