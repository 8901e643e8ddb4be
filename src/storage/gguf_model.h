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
  std::string architecture;  ///< "LlamaForCausalLM", "Qwen2ForCausalLM" or "Qwen3ForCausalLM"
  std::string model_type;    ///< "llama", "qwen2" or "qwen3"; the same as general.architecture
  std::int64_t hidden_size = 0, intermediate_size = 0, layers = 0;
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
  std::int64_t vocab_size = 0, max_positions = 0;
  double norm_eps = 0, rope_theta = 0;
  Json rope_scaling;            ///< null, or as config.json has it
  bool tied_head = false;       ///< there is no output.weight
  bool attention_bias = false;  ///< q, k and v have biases; of llama and qwen3 the output projection too
  bool mlp_bias = false;
  bool qk_norm = false;
};

/// Error for another architecture, for experts, and for any setting of the architecture that is not
/// understood.
GgufModel read_gguf_model(const GgufFile& file);

/// The model's part of config.json (without token ids and dtype).
Json gguf_config(const GgufModel& model);

/// A tensor of such a model by both of its names.
struct GgufPlace {
  std::string gguf;  ///< "blk.0.attn_q.weight"
  std::string name;  ///< in the Hugging Face folder
  std::vector<std::int64_t> shape;
  std::int64_t rotary_heads = 0;  ///< see GgufSource
};

/// Every tensor that the model has but rope_freqs.weight: embedding, layers, norm, head.
std::vector<GgufPlace> gguf_places(const GgufModel& model);

/// The settings that read_gguf_model reads, under the keys and in the types that llama.cpp's programs expect.
/// Error for what they cannot say or do not compute.
void add_model_settings(const GgufModel& model, GgufMetadata& metadata);

/// rope_freqs.weight of a model with llama3 scaling, or nothing.
std::vector<float> rope_divisors(const GgufModel& model);

/// A tensor of the Hugging Face folder and where it comes from.
struct GgufSource {
  std::string name;  ///< in the Hugging Face folder
  const GgufTensor* tensor = nullptr;
  /// Above 0: the rows are that many heads whose rotary pairs lie side by side (rows 2i and 2i+1 of a head),
  /// to be put back into Hugging Face's order (i and i + D/2).
  std::int64_t rotary_heads = 0;
};

/// gguf_places in the file, their shapes checked. Error where one is missing or where the file has one more.
std::vector<GgufSource> map_gguf_tensors(const GgufFile& file, const GgufModel& model);

/// rope_freqs.weight holds for each rotary frequency what it is divided by. The "llama3" rope_scaling that
/// gives these factors (low_freq_factor 1, high_freq_factor 4), or nullopt.
std::optional<Json> llama3_scaling(const std::vector<float>& factors, double rope_theta);

}  // namespace ranktune
