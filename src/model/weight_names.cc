#include "model/weight_names.h"

#include <fmt/core.h>

namespace ranktune {

ModelNames model_names(Family family) {
  if (family == Family::kQwen1)
    return {.embedding = "transformer.wte", .final_norm = "transformer.ln_f", .head = "lm_head"};
  return {.embedding = "model.embed_tokens", .final_norm = "model.norm", .head = "lm_head"};
}

LayerNames layer_names(Family family, std::int64_t layer) {
  if (family == Family::kQwen1) {
    const std::string base = fmt::format("transformer.h.{}.", layer);
    // w1 is the linear branch, w2 the one under silu: the reverse of what the numbers suggest.
    return {.input_norm = base + "ln_1",
            .post_norm = base + "ln_2",
            .qkv = base + "attn.c_attn",
            .o = base + "attn.c_proj",
            .gate = base + "mlp.w2",
            .up = base + "mlp.w1",
            .down = base + "mlp.c_proj"};
  }
  const std::string base = fmt::format("model.layers.{}.", layer);
  const std::string attention = base + "self_attn.";
  const bool qk_norm = family == Family::kQwen3;
  return {.input_norm = base + "input_layernorm",
          .post_norm = base + "post_attention_layernorm",
          .q = attention + "q_proj",
          .k = attention + "k_proj",
          .v = attention + "v_proj",
          .qkv = "",
          .o = attention + "o_proj",
          .q_norm = qk_norm ? attention + "q_norm" : "",
          .k_norm = qk_norm ? attention + "k_norm" : "",
          .gate = base + "mlp.gate_proj",
          .up = base + "mlp.up_proj",
          .down = base + "mlp.down_proj"};
}

std::vector<std::string> usual_targets(Family family) {
  // "c_proj" is both the attention's and the MLP's.
  if (family == Family::kQwen1) return {"c_attn", "c_proj", "w1", "w2"};
  return {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
}

}  // namespace ranktune
