#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "storage/gguf.h"
#include "storage/gguf_writer.h"

namespace ranktune {

/// What a GGUF's metadata and tensors say, or are to say, about the decoder, in config.json's words.
struct GgufModel {
  /// "LlamaForCausalLM", "QWenLMHeadModel", "Qwen2ForCausalLM" or "Qwen3ForCausalLM"
  std::string architecture;
  std::string model_type;  ///< "llama", "qwen", "qwen2" or "qwen3"; the same as general.architecture
  std::int64_t hidden_size = 0, layers = 0;
  std::int64_t intermediate_size = 0;  ///< of one matrix, also where the first Qwen counts two
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
  std::int64_t vocab_size = 0, max_positions = 0;
  double norm_eps = 0, rope_theta = 0;
  Json rope_scaling;            ///< null, or as config.json has it
  bool tied_head = false;       ///< there is no output.weight
  bool attention_bias = false;  ///< q, k and v have biases; of llama and qwen3 the output projection too
  bool mlp_bias = false;
  bool qk_norm = false;

  bool first_qwen() const { return model_type == "qwen"; }
};

/// Error for another architecture, for experts, and for any setting of the architecture that is not
/// understood.
GgufModel read_gguf_model(const GgufFile& file);

/// The model's part of config.json (without token ids and dtype).
Json gguf_config(const GgufModel& model);

/// The settings that read_gguf_model reads, under the keys and in the types that llama.cpp's programs expect.
/// Error for what they cannot say or do not compute.
void add_model_settings(const GgufModel& model, GgufMetadata& metadata);

/// rope_freqs.weight of a model with llama3 scaling, or nothing.
std::vector<float> rope_divisors(const GgufModel& model);

/// rope_freqs.weight holds for each rotary frequency what it is divided by. The "llama3" rope_scaling that
/// gives these factors (low_freq_factor 1, high_freq_factor 4), or nullopt.
std::optional<Json> llama3_scaling(const std::vector<float>& factors, double rope_theta);

}  // namespace ranktune
