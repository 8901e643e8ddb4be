#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

namespace ranktune {

/// Keys and values of one sequence for every layer, so that each new token costs one position. Room is
/// doubled when it runs out.
class KvCache {
 public:
  explicit KvCache(std::int64_t layers) : entries_(static_cast<std::size_t>(layers)) {}
  std::int64_t length() const { return length_; }
  /// Tokens of the first call, the prompt: 0 before it.
  std::int64_t prompt_length() const { return prompt_length_; }

  /// Appends k, v [T, Hkv, D] of `layer` and returns all so far, [length + T, Hkv, D].
  std::pair<torch::Tensor, torch::Tensor> append(std::int64_t layer, const torch::Tensor& k,
                                                 const torch::Tensor& v);
  /// After all layers have appended T tokens.
  void advance(std::int64_t tokens) {
    if (length_ == 0) prompt_length_ = tokens;
    length_ += tokens;
  }

 private:
  struct Entry {
    torch::Tensor k, v;
  };
  std::vector<Entry> entries_;
  std::int64_t length_ = 0, prompt_length_ = 0;
};

}  // namespace ranktune
