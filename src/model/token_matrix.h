#pragma once

#include <torch/types.h>

#include <memory>
#include <string>
#include <utility>

#include "model/parameter.h"

namespace ranktune {

/// Rows that an adapter has in place of a token matrix's own (PEFT's trainable_token_indices).
struct TokenRows {
  torch::Tensor ids;    ///< [n] int64, each once
  torch::Tensor place;  ///< [V] int64: the row of `rows` that a token has, -1 where it has none
  ParameterPtr rows;    ///< [n,C]
};

/// A matrix with a row for every token: the embedding, or the output head.
struct TokenMatrix {
  std::string name;                       ///< the module's outside name
  ParameterPtr weight;                    ///< [V,C]
  std::shared_ptr<const TokenRows> rows;  ///< null without any
};

/// The rows of `ids` [T] int64: [T,C]. Differentiable in the weight and in the adapter's rows.
torch::Tensor embed(const TokenMatrix& matrix, const torch::Tensor& ids, bool use_adapter);

/// What logits are made with: a weight [V,C] in which, where there are any, the rows `ids` [n] int64 count as
/// `rows` [n,C]. The whole matrix with those rows in it is never made.
struct OutputHead {
  OutputHead(torch::Tensor whole) : weight(std::move(whole)) {}  // NOLINT: a plain weight is a head, too
  torch::Tensor weight;
  torch::Tensor ids{}, rows{};  ///< undefined without
};

OutputHead output_head(const TokenMatrix& matrix, bool use_adapter);

/// [N,C] -> [N,V] fp32.
torch::Tensor logits_of(const torch::Tensor& hidden, const OutputHead& head);

}  // namespace ranktune
