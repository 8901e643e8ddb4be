#include "storage/gguf_places.h"

#include <set>

#include "base/error.h"
#include "storage/safetensors.h"

namespace ranktune {
namespace {

void add_linear(std::vector<GgufPlace>& list, const GgufPlace& weight, bool bias) {
  list.push_back({weight.gguf + ".weight", weight.name + ".weight", weight.shape, weight.rotary_heads});
  if (bias)
    list.push_back({weight.gguf + ".bias", weight.name + ".bias", {weight.shape[0]}, weight.rotary_heads});
}

/// q, k and v are one matrix; c_proj is the output projection and the MLP's, w2 the branch under silu.
void add_first_qwen_layer(std::vector<GgufPlace>& list, const GgufModel& m, std::int64_t layer) {
  const std::string from = fmt::format("blk.{}.", layer), to = fmt::format("transformer.h.{}.", layer);
  const std::int64_t C = m.hidden_size, I = m.intermediate_size, Q = m.heads * m.head_dim;
  list.push_back({from + "attn_norm.weight", to + "ln_1.weight", {C}});
  add_linear(list, {from + "attn_qkv", to + "attn.c_attn", {3 * Q, C}}, true);
  add_linear(list, {from + "attn_output", to + "attn.c_proj", {C, Q}}, false);
  list.push_back({from + "ffn_norm.weight", to + "ln_2.weight", {C}});
  add_linear(list, {from + "ffn_gate", to + "mlp.w2", {I, C}}, false);
  add_linear(list, {from + "ffn_up", to + "mlp.w1", {I, C}}, false);
  add_linear(list, {from + "ffn_down", to + "mlp.c_proj", {C, I}}, false);
}

void add_layer(std::vector<GgufPlace>& list, const GgufModel& m, std::int64_t layer) {
  const std::string from = fmt::format("blk.{}.", layer), to = fmt::format("model.layers.{}.", layer);
  const std::int64_t C = m.hidden_size, I = m.intermediate_size, Q = m.heads * m.head_dim,
                     KV = m.kv_heads * m.head_dim;
  // Only llama's rotary pairs are stored side by side; the Qwen families keep Hugging Face's order.
  const bool side_by_side = m.model_type == "llama";
  const bool output_bias = m.attention_bias && m.model_type != "qwen2";
  list.push_back({from + "attn_norm.weight", to + "input_layernorm.weight", {C}});
  add_linear(list, {from + "attn_q", to + "self_attn.q_proj", {Q, C}, side_by_side ? m.heads : 0},
             m.attention_bias);
  add_linear(list, {from + "attn_k", to + "self_attn.k_proj", {KV, C}, side_by_side ? m.kv_heads : 0},
             m.attention_bias);
  add_linear(list, {from + "attn_v", to + "self_attn.v_proj", {KV, C}}, m.attention_bias);
  add_linear(list, {from + "attn_output", to + "self_attn.o_proj", {C, Q}}, output_bias);
  if (m.qk_norm) {
    list.push_back({from + "attn_q_norm.weight", to + "self_attn.q_norm.weight", {m.head_dim}});
    list.push_back({from + "attn_k_norm.weight", to + "self_attn.k_norm.weight", {m.head_dim}});
  }
  list.push_back({from + "ffn_norm.weight", to + "post_attention_layernorm.weight", {C}});
  add_linear(list, {from + "ffn_gate", to + "mlp.gate_proj", {I, C}}, m.mlp_bias);
  add_linear(list, {from + "ffn_up", to + "mlp.up_proj", {I, C}}, m.mlp_bias);
  add_linear(list, {from + "ffn_down", to + "mlp.down_proj", {C, I}}, m.mlp_bias);
}

}  // namespace

std::vector<GgufPlace> gguf_places(const GgufModel& model) {
  std::vector<GgufPlace> places{{"token_embd.weight",
                                 model.first_qwen() ? "transformer.wte.weight" : "model.embed_tokens.weight",
                                 {model.vocab_size, model.hidden_size}}};
  for (std::int64_t layer = 0; layer < model.layers; ++layer)
    (model.first_qwen() ? add_first_qwen_layer : add_layer)(places, model, layer);
  places.push_back({"output_norm.weight",
                    model.first_qwen() ? "transformer.ln_f.weight" : "model.norm.weight",
                    {model.hidden_size}});
  if (!model.tied_head)
    places.push_back({"output.weight", "lm_head.weight", {model.vocab_size, model.hidden_size}});
  return places;
}

std::vector<GgufSource> map_gguf_tensors(const GgufFile& file, const GgufModel& model) {
  // A file cannot have more layers than tensors, whatever its metadata say.
  require(static_cast<std::uint64_t>(model.layers) <= file.tensors().size(),
          "{}: {} layers are announced, but there are {} tensors", file.where(), model.layers,
          file.tensors().size());
  std::vector<GgufSource> sources;
  std::set<std::string_view> used{"rope_freqs.weight"};
  for (const GgufPlace& wanted : gguf_places(model)) {
    const GgufTensor& tensor = file.get_tensor(wanted.gguf);
    require(tensor.shape == wanted.shape, "{}: tensor \"{}\" has shape {}, but the metadata ask for {}",
            file.where(), tensor.name, shape_text(tensor.shape), shape_text(wanted.shape));
    used.insert(tensor.name);
    sources.push_back({wanted.name, &tensor, wanted.rotary_heads});
  }
  for (const GgufTensor& tensor : file.tensors())
    require(used.contains(tensor.name),
            "{}: tensor \"{}\" is not part of a {} model; nothing is left out silently", file.where(),
            tensor.name, model.architecture);
  return sources;
}

}  // namespace ranktune
