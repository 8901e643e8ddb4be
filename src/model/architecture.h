#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

namespace ranktune {

/// Which table of outside tensor names a model uses, and the few differences that follow from it.
enum class Family { kLlama, kQwen1, kQwen2, kQwen3 };

/// How the rotary angles are stretched beyond the length a model was trained on. The names are
/// transformers', but for kQwen1.
struct RopeScaling {
  enum class Kind {
    kNone,
    kLinear,
    kLlama3,   ///< Llama 3.1's reference
    kYarn,     ///< Peng et al. 2023
    kDynamic,  ///< NTK-aware, by the length of the moment
    kQwen1,  ///< dynamic NTK as the first Qwen's code has it: by the length of the prompt, never in training
  };
  Kind kind = Kind::kNone;
  double factor = 1.0;
  double low_freq_factor = 1.0;          ///< llama3 only
  double high_freq_factor = 4.0;         ///< llama3 only
  std::int64_t original_positions = 0;   ///< the length of the first training; not for linear
  std::int64_t stretched_positions = 0;  ///< the longest sequence with it; 0: max_positions
  double beta_fast = 32.0;               ///< yarn only, as all that follow
  double beta_slow = 1.0;
  double attention_factor = 1.0;  ///< of cosines and sines, so of scores its square
  bool truncate = true;           ///< the range between the betas to whole dimensions
};

/// Everything that decides a decoder's mathematics, whatever the family calls it.
/// One alphabet for shapes everywhere: T tokens, C hidden, I MLP width, H query heads, Hkv key/value heads, D
/// head size, V vocabulary, L layers.
struct Architecture {
  Family family = Family::kLlama;
  std::string model_type{};            ///< as config.json says it
  std::int64_t hidden_size = 0;        ///< C
  std::int64_t intermediate_size = 0;  ///< I, the width of the gate (half of what Qwen v1's config says)
  std::int64_t layers = 0;             ///< L
  std::int64_t heads = 0;              ///< H
  std::int64_t kv_heads = 0;           ///< Hkv, divides H
  std::int64_t head_dim = 0;           ///< D; H*D need not be C
  std::int64_t vocab_size = 0;         ///< V, the rows of the embedding
  std::int64_t max_positions = 0;      ///< the longest sequence the model was trained on, in tokens
  double norm_eps = 1e-6;
  double rope_theta = 10000.0;
  RopeScaling rope_scaling{};
  /// Queries beyond the training length are scaled by log(position + 1) to the base max_positions, except in
  /// training (the first Qwen).
  bool log_n_attention = false;
  bool attention_bias = false;  ///< q, k and v have a bias
  bool attention_output_bias = false;
  bool mlp_bias = false;
  bool qk_norm = false;    ///< RMS norm over each head of q and k before the rotation
  bool tied_head = false;  ///< the output head is the embedding
  bool fused_qkv = false;  ///< one [3C,C] linear holds q, k and v
  /// The longest sequence that it generates, in tokens.
  std::int64_t longest_sequence() const { return std::max(max_positions, rope_scaling.stretched_positions); }
  std::string stored_dtype{};  ///< config.json's dtype, else "bfloat16" where weights are stored so, else ""
};

}  // namespace ranktune
