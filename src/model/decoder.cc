#include "model/decoder.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/error.h"
#include "model/attention.h"
#include "model/kernels/rms_norm.h"
#include "model/kernels/swiglu.h"
#include "model/recompute.h"
#include "model/weight_names.h"

namespace ranktune {
namespace {

Linear take_linear(WeightSource& weights, const std::string& name, std::int64_t out, std::int64_t in,
                   bool bias) {
  Linear linear{
      .name = name, .weight = weights.take(name + ".weight", {out, in}), .bias = nullptr, .lora = nullptr};
  if (bias) linear.bias = weights.take(name + ".bias", {out});
  return linear;
}

ParameterPtr take_norm(WeightSource& weights, const std::string& name, std::int64_t width) {
  return name.empty() ? nullptr : weights.take(name + ".weight", {width});
}

DecoderLayer take_layer(WeightSource& weights, const Architecture& arch, std::int64_t index) {
  const LayerNames names = layer_names(arch.family, index);
  const std::int64_t width = arch.hidden_size, q_width = arch.heads * arch.head_dim,
                     kv_width = arch.kv_heads * arch.head_dim;
  DecoderLayer layer;
  layer.input_norm = take_norm(weights, names.input_norm, width);
  if (arch.fused_qkv) {
    layer.qkv = take_linear(weights, names.qkv, q_width + 2 * kv_width, width, arch.attention_bias);
  } else {
    layer.q = take_linear(weights, names.q, q_width, width, arch.attention_bias);
    layer.k = take_linear(weights, names.k, kv_width, width, arch.attention_bias);
    layer.v = take_linear(weights, names.v, kv_width, width, arch.attention_bias);
  }
  layer.q_norm = take_norm(weights, names.q_norm, arch.head_dim);
  layer.k_norm = take_norm(weights, names.k_norm, arch.head_dim);
  layer.o = take_linear(weights, names.o, width, q_width, arch.attention_output_bias);
  layer.post_norm = take_norm(weights, names.post_norm, width);
  layer.gate = take_linear(weights, names.gate, arch.intermediate_size, width, arch.mlp_bias);
  layer.up = take_linear(weights, names.up, arch.intermediate_size, width, arch.mlp_bias);
  layer.down = take_linear(weights, names.down, width, arch.intermediate_size, arch.mlp_bias);
  return layer;
}

std::vector<Linear*> layer_linears(DecoderLayer& layer) {
  std::vector<Linear*> all;
  for (Linear* linear :
       {&layer.q, &layer.k, &layer.v, &layer.qkv, &layer.o, &layer.gate, &layer.up, &layer.down})
    if (linear->weight) all.push_back(linear);
  return all;
}

void add_parameters(DecoderLayer& layer, ParameterList& all) {
  const auto add = [&](const ParameterPtr& parameter) {
    if (parameter) all.push_back(parameter);
  };
  for (const ParameterPtr& norm : {layer.input_norm, layer.q_norm, layer.k_norm, layer.post_norm}) add(norm);
  for (const Linear* linear : layer_linears(layer)) {
    add(linear->weight);
    add(linear->bias);
  }
}

/// The leaves that requiring a gradient makes part of the layer's backward pass.
std::vector<torch::Tensor> trained_weights(DecoderLayer& layer) {
  ParameterList all;
  add_parameters(layer, all);
  for (const Linear* linear : layer_linears(layer)) {
    if (!linear->lora) continue;
    all.insert(all.end(), {linear->lora->a, linear->lora->b});
    if (linear->lora->magnitude) all.push_back(linear->lora->magnitude);
  }
  std::vector<torch::Tensor> trained;
  for (const ParameterPtr& parameter : all)
    if (parameter->seen(true).requires_grad()) trained.push_back(parameter->seen(true));
  return trained;
}

}  // namespace

Decoder::Decoder(const Architecture& arch, WeightSource& weights) : arch_(arch) {
  const ModelNames names = model_names(arch.family);
  const std::vector<std::int64_t> shape{arch.vocab_size, arch.hidden_size};
  embedding_ = {names.embedding, weights.take(names.embedding + ".weight", shape), nullptr};
  layers_.reserve(static_cast<std::size_t>(arch.layers));
  for (std::int64_t i = 0; i < arch.layers; ++i) layers_.push_back(take_layer(weights, arch, i));
  final_norm_ = take_norm(weights, names.final_norm, arch.hidden_size);
  head_ = {names.head, arch.tied_head ? embedding_.weight : weights.take(names.head + ".weight", shape),
           nullptr};
  // Some exporters write a tied head too; it is the same matrix by definition.
  weights.require_all_taken(arch.tied_head ? std::set<std::string>{names.head + ".weight"}
                                           : std::set<std::string>{});
}

void Decoder::untie_head() {
  if (!arch_.tied_head) return;
  head_.weight = std::make_shared<Parameter>(head_.name + ".weight", embedding_.weight->value);
  arch_.tied_head = false;
}

void Decoder::prepare_rope(std::int64_t length) {
  if (rope_.cosine.defined() && rope_.cosine.size(0) >= length) return;
  // In doublings: a conversation grows by one token at a time.
  const auto count = std::bit_ceil(static_cast<std::uint64_t>(std::max<std::int64_t>(length, 512)));
  rope_ = make_rope_table(arch_, {.count = static_cast<std::int64_t>(count)}, device());
}

Rotation Decoder::rotation_of(const RopeSpan& span) {
  Rotation rotation;
  if (depends_on_length(arch_, span.length, span.training)) {
    const RopeTable table = make_rope_table(arch_, span, device());
    rotation = {table.cosine, table.sine, {}};
  } else {
    prepare_rope(span.first + span.count);
    rotation = {
        rope_.cosine.narrow(0, span.first, span.count), rope_.sine.narrow(0, span.first, span.count), {}};
  }
  if (arch_.log_n_attention && !span.training && span.first + span.count > arch_.max_positions)
    rotation.query_scale = log_n_scale(arch_, span, device());
  return rotation;
}

Rotation Decoder::rotation_of(const PackedTokens& tokens, bool training) {
  const std::int64_t longest = *std::max_element(tokens.lengths.begin(), tokens.lengths.end());
  const bool scaled = arch_.log_n_attention && !training && longest > arch_.max_positions;
  if (!scaled && !depends_on_length(arch_, longest, training)) {
    prepare_rope(longest);
    return {rope_.cosine.index_select(0, tokens.positions), rope_.sine.index_select(0, tokens.positions), {}};
  }
  std::vector<torch::Tensor> cosines, sines, scales;
  for (const std::int64_t length : tokens.lengths) {
    const RopeSpan span{.count = length, .length = length, .training = training};
    const Rotation part = rotation_of(span);
    cosines.push_back(part.cosine);
    sines.push_back(part.sine);
    if (scaled)
      scales.push_back(part.query_scale.defined() ? part.query_scale : log_n_scale(arch_, span, device()));
  }
  return {torch::cat(cosines), torch::cat(sines), scaled ? torch::cat(scales) : torch::Tensor()};
}

template <typename Attend>
torch::Tensor Decoder::layer_forward(DecoderLayer& layer, const torch::Tensor& x, const Rotation& rotation,
                                     const ForwardMode& mode, Attend&& attend) {
  const std::int64_t tokens = x.size(0), width = arch_.head_dim;
  const torch::Tensor normal = rms_norm(x, layer.input_norm->seen(mode.use_adapter), arch_.norm_eps);
  torch::Tensor q, k, v;
  if (arch_.fused_qkv) {
    const auto parts = layer.qkv.forward(normal, mode).chunk(3, -1);
    q = parts[0], k = parts[1], v = parts[2];
  } else {
    q = layer.q.forward(normal, mode), k = layer.k.forward(normal, mode), v = layer.v.forward(normal, mode);
  }
  q = q.reshape({tokens, arch_.heads, width});
  k = k.reshape({tokens, arch_.kv_heads, width});
  v = v.reshape({tokens, arch_.kv_heads, width});
  if (arch_.qk_norm) {
    q = rms_norm(q, layer.q_norm->seen(mode.use_adapter), arch_.norm_eps);
    k = rms_norm(k, layer.k_norm->seen(mode.use_adapter), arch_.norm_eps);
  }
  q = apply_rope(q, rotation.cosine, rotation.sine);
  k = apply_rope(k, rotation.cosine, rotation.sine);
  if (rotation.query_scale.defined()) q = q * rotation.query_scale.to(q.scalar_type());
  const torch::Tensor mixed = attend(q, k, v);
  const torch::Tensor attended = x + layer.o.forward(mixed, mode);
  const torch::Tensor post = rms_norm(attended, layer.post_norm->seen(mode.use_adapter), arch_.norm_eps);
  return attended +
         layer.down.forward(swiglu(layer.gate.forward(post, mode), layer.up.forward(post, mode)), mode);
}

torch::Tensor Decoder::hidden_states(const PackedTokens& tokens, const ForwardMode& mode) {
  const Rotation rotation = rotation_of(tokens, mode.training);
  torch::Tensor x = embed(embedding_, tokens.ids, mode.use_adapter);
  for (DecoderLayer& layer : layers_) {
    if (mode.layer_inputs != nullptr) mode.layer_inputs->push_back(x);
    // By value: the backward pass may run this again after this function has returned.
    const auto forward = [this, &layer, rotation, mode,
                          lengths = tokens.lengths](const torch::Tensor& input) {
      return layer_forward(layer, input, rotation, mode, [&](const auto& q, const auto& k, const auto& v) {
        return packed_attention(q, k, v, lengths);
      });
    };
    x = mode.recompute ? recomputed(x, trained_weights(layer), forward) : forward(x);
  }
  return x;
}

torch::Tensor Decoder::hidden_states(const torch::Tensor& ids, KvCache& cache, const ForwardMode& mode) {
  const std::int64_t first = cache.length(), count = ids.size(0);
  // As in the reference, keys in the cache keep the rotation that they were given.
  const bool by_prompt = arch_.rope_scaling.kind == RopeScaling::Kind::kQwen1 && first > 0;
  const Rotation rotation = rotation_of(
      {.first = first, .count = count, .length = by_prompt ? cache.prompt_length() : first + count});
  torch::Tensor x = embed(embedding_, ids, mode.use_adapter);
  for (std::size_t i = 0; i < layers_.size(); ++i)
    x = layer_forward(layers_[i], x, rotation, mode, [&](const auto& q, const auto& k, const auto& v) {
      const auto [all_k, all_v] = cache.append(static_cast<std::int64_t>(i), k, v);
      return cached_attention(q, all_k, all_v);
    });
  cache.advance(count);
  return x;
}

torch::Tensor Decoder::final_norm(const torch::Tensor& hidden, bool use_adapter) const {
  return rms_norm(hidden, final_norm_->seen(use_adapter), arch_.norm_eps);
}

torch::Tensor Decoder::logits(const torch::Tensor& normalised, bool use_adapter) const {
  return logits_of(normalised, output_head(head_, use_adapter));
}

std::vector<Linear*> Decoder::linears() {
  std::vector<Linear*> all;
  for (DecoderLayer& layer : layers_) {
    const std::vector<Linear*> of_layer = layer_linears(layer);
    all.insert(all.end(), of_layer.begin(), of_layer.end());
  }
  return all;
}

ParameterList Decoder::parameters() {
  ParameterList all{embedding_.weight};
  for (DecoderLayer& layer : layers_) add_parameters(layer, all);
  all.push_back(final_norm_);
  if (head_.weight != embedding_.weight) all.push_back(head_.weight);
  return all;
}

}  // namespace ranktune
