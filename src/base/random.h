#pragma once

#include <cstdint>

namespace ranktune {

/// SplitMix64's finaliser (Steele, Lea, Flood 2014): a bijection of 64-bit words with good avalanche.
constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

/// One seed out of several words; every order and value of the words gives an unrelated seed.
template <typename... Words>
constexpr std::uint64_t mix_seed(std::uint64_t first, Words... rest) {
  std::uint64_t seed = mix64(first);
  ((seed = mix64(seed ^ mix64(static_cast<std::uint64_t>(rest) + 0x632BE59BD9B4E019u))), ...);
  return seed;
}

/// Random words that depend on (seed, index) alone, so any of them can be had without the ones before it.
class CounterRandom {
 public:
  explicit constexpr CounterRandom(std::uint64_t seed) : seed_(mix64(seed)) {}
  constexpr std::uint64_t bits(std::uint64_t index) const { return mix64(seed_ ^ mix64(index)); }
  /// Uniform in [0, 1) with 53 bits.
  constexpr double uniform(std::uint64_t index) const {
    return static_cast<double>(bits(index) >> 11) * 0x1p-53;
  }

 private:
  std::uint64_t seed_;
};

/// A pseudo-random permutation of 0..size-1 computed element by element: a four-round Feistel network over
/// the smallest even-bit power of two that holds `size`, walking cycles until the value falls below `size`.
class Permutation {
 public:
  Permutation(std::uint64_t size, std::uint64_t seed);
  std::uint64_t size() const { return size_; }
  std::uint64_t operator()(std::uint64_t index) const;

 private:
  std::uint64_t size_;
  std::uint64_t seed_;
  unsigned half_bits_;
};

}  // namespace ranktune
