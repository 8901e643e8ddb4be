#pragma once

#include <span>
#include <string>
#include <string_view>

namespace ranktune {

/// The candidate with the smallest edit distance to `word` (ties: the earlier one); "" when none is near
/// enough to be a likely slip of the pen.
std::string nearest(std::string_view word, std::span<const std::string> candidates);

/// `; did you mean "X"?` for the nearest candidate, or "".
std::string did_you_mean(std::string_view word, std::span<const std::string> candidates);

}  // namespace ranktune
