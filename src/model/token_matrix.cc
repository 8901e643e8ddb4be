#include "model/token_matrix.h"

#include "model/kernels/product.h"

namespace ranktune {

torch::Tensor embed(const TokenMatrix& matrix, const torch::Tensor& ids, bool use_adapter) {
  torch::Tensor own = torch::embedding(matrix.weight->seen(use_adapter), ids);
  if (!matrix.rows || !use_adapter) return own;
  const torch::Tensor place = matrix.rows->place.index_select(0, ids);
  const torch::Tensor adapted = torch::embedding(matrix.rows->rows->value, place.clamp_min(0));
  return torch::where((place >= 0).unsqueeze(1), adapted.to(own.scalar_type()), own);
}

OutputHead output_head(const TokenMatrix& matrix, bool use_adapter) {
  OutputHead head(matrix.weight->seen(use_adapter));
  if (!matrix.rows || !use_adapter) return head;
  head.ids = matrix.rows->ids;
  head.rows = matrix.rows->rows->value.to(head.weight.scalar_type());
  return head;
}

torch::Tensor logits_of(const torch::Tensor& hidden, const OutputHead& head) {
  torch::Tensor logits = linear_product(hidden, head.weight).to(torch::kFloat32);
  if (!head.rows.defined()) return logits;
  return logits.index_copy(1, head.ids, linear_product(hidden, head.rows).to(torch::kFloat32));
}

}  // namespace ranktune
