#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "model/architecture.h"
#include "model/kernels/rope.h"
#include "model/kv_cache.h"
#include "model/linear.h"
#include "model/packed_tokens.h"
#include "model/parameter.h"
#include "model/token_matrix.h"
#include "model/weight_source.h"

namespace ranktune {

/// One layer's weights. Either q, k, v or the fused qkv is there.
struct DecoderLayer {
  ParameterPtr input_norm, post_norm;  ///< [C]
  Linear q, k, v;                      ///< [H*D,C], [Hkv*D,C], [Hkv*D,C]
  Linear qkv;                          ///< [3*H*D,C]: rows q, then k, then v
  Linear o;                            ///< [C,H*D]
  ParameterPtr q_norm, k_norm;         ///< [D], null without q/k norm
  Linear gate, up, down;               ///< [I,C], [I,C], [C,I]
};

/// A decoder-only transformer as its Architecture describes it. The weights are frozen Parameters until a
/// trainer makes leaves of some; the class itself keeps no training state, so one instance may serve many
/// forward passes in turn.
class Decoder {
 public:
  Decoder(const Architecture& arch, WeightSource& weights);

  /// Hidden states after the last layer, before the final norm: [T,C].
  torch::Tensor hidden_states(const PackedTokens& tokens, const ForwardMode& mode);
  /// The same for the newest tokens of one sequence, whose earlier ones are in `cache`; ids [T] int64.
  torch::Tensor hidden_states(const torch::Tensor& ids, KvCache& cache, const ForwardMode& mode);
  /// The final norm: [N,C] -> [N,C]. Rows without a label need not pass it.
  torch::Tensor final_norm(const torch::Tensor& hidden, bool use_adapter = true) const;
  /// [N,C] normalised hidden states -> [N,V] logits in fp32.
  torch::Tensor logits(const torch::Tensor& normalised, bool use_adapter = true) const;

  const Architecture& architecture() const { return arch_; }
  torch::Device device() const { return embedding_.weight->value.device(); }
  torch::ScalarType dtype() const { return embedding_.weight->value.scalar_type(); }

  TokenMatrix& embedding() { return embedding_; }
  TokenMatrix& head() { return head_; }
  const TokenMatrix& head() const { return head_; }
  /// Gives a tied head a weight of its own, with the embedding's values: one of the two is to be changed.
  void untie_head();

  /// Every linear of the layers, in order of layer and use: what LoRA may adapt.
  std::vector<Linear*> linears();
  /// Every weight once (a tied head is the embedding), in order of use.
  ParameterList parameters();

 private:
  template <typename Attend>
  torch::Tensor layer_forward(DecoderLayer& layer, const torch::Tensor& x, const Rotation& rotation,
                              const ForwardMode& mode, Attend&& attend);
  Rotation rotation_of(const PackedTokens& tokens, bool training);
  Rotation rotation_of(const RopeSpan& span);
  void prepare_rope(std::int64_t length);

  Architecture arch_;
  TokenMatrix embedding_, head_;
  ParameterPtr final_norm_;
  std::vector<DecoderLayer> layers_;
  RopeTable rope_;  ///< of positions from 0 on, for sequences within the training length
};

}  // namespace ranktune
