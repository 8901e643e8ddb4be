#include "base/random.h"

#include <bit>

#include "base/error.h"

namespace ranktune {

Permutation::Permutation(std::uint64_t size, std::uint64_t seed) : size_(size), seed_(seed), half_bits_(1) {
  require(size < (std::uint64_t{1} << 62), "cannot permute {} elements", size);
  const unsigned bits = size > 1 ? static_cast<unsigned>(std::bit_width(size - 1)) : 1;
  half_bits_ = (bits + 1) / 2;
}

std::uint64_t Permutation::operator()(std::uint64_t index) const {
  require(index < size_, "element {} asked of a permutation of {}", index, size_);
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  do {
    std::uint64_t left = index >> half_bits_, right = index & mask;
    for (std::uint64_t round = 0; round < 4; ++round) {
      const std::uint64_t next = left ^ (mix_seed(seed_, round, right) & mask);
      left = right;
      right = next;
    }
    index = (left << half_bits_) | right;
  } while (index >= size_);
  return index;
}

}  // namespace ranktune
