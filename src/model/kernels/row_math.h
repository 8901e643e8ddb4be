#pragma once

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cstdint>

namespace ranktune {

/// Loops over one row of a matrix, compiled for several instruction sets and chosen at start. Sums use a
/// fixed number of partial sums, so every instruction set gives the same bits (contraction to FMA is off).
/// Widening is exact; narrowing rounds to nearest even, and what is too large for fp16 becomes infinite.
void widen_row(const c10::BFloat16* from, float* to, std::int64_t count);
void widen_row(const c10::Half* from, float* to, std::int64_t count);
void narrow_row(const float* from, c10::BFloat16* to, std::int64_t count);
void narrow_row(const float* from, c10::Half* to, std::int64_t count);
float square_sum(const float* x, std::int64_t count);
float dot(const float* x, const float* y, std::int64_t count);
/// e^x to within 2 units in the last place, for |x| below 87; larger arguments are clamped to that.
void exp_row(const float* x, float* result, std::int64_t count);

}  // namespace ranktune
