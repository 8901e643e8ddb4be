#include "base/nearest.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace ranktune {
namespace {

/// Levenshtein distance by bytes, one row at a time.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substituted, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

/// The part after the last dot, so that "lora.r" and "rank" are compared by what people remember.
std::string_view leaf(std::string_view key) {
  const auto dot = key.rfind('.');
  return dot == key.npos ? key : key.substr(dot + 1);
}

}  // namespace

std::string nearest(std::string_view word, std::span<const std::string> candidates) {
  if (std::find(candidates.begin(), candidates.end(), word) != candidates.end()) return std::string(word);
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(word.size(), 3) / 3 + 1;
  for (const std::string& candidate : candidates) {
    const bool same_leaf = leaf(word) == leaf(candidate);
    // They are at least as far apart as their lengths.
    const std::size_t least =
        word.size() < candidate.size() ? candidate.size() - word.size() : word.size() - candidate.size();
    if (!same_leaf && least >= best_distance) continue;
    const std::size_t distance = same_leaf ? 1 : edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view word, std::span<const std::string> candidates) {
  const std::string found = nearest(word, candidates);
  return found.empty() ? "" : "; did you mean \"" + found + "\"?";
}

}  // namespace ranktune
