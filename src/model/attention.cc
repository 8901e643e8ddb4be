#include "model/attention.h"

#include <vector>

#include "model/kernels/product.h"

namespace ranktune {
namespace {

/// [T,H,D] -> [1,H,T,D], as scaled_dot_product_attention takes it.
torch::Tensor heads_first(const torch::Tensor& x) { return x.transpose(0, 1).unsqueeze(0); }

torch::Tensor attend(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                     const std::optional<torch::Tensor>& mask, bool causal) {
  if (q.size(0) > 1 && product_method(q) == ProductMethod::kWide) {
    const auto wide = [](const torch::Tensor& narrow) { return narrow.to(torch::kFloat32); };
    return attend(wide(q), wide(k), wide(v), mask, causal).to(q.scalar_type());
  }
  const bool grouped = q.size(1) != k.size(1);
  const torch::Tensor y =
      at::scaled_dot_product_attention(heads_first(q), heads_first(k), heads_first(v), mask,
                                       /*dropout_p=*/0.0, causal, /*scale=*/std::nullopt, grouped);
  return y.squeeze(0).transpose(0, 1).reshape({q.size(0), q.size(1) * q.size(2)});
}

}  // namespace

torch::Tensor packed_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                               std::span<const std::int64_t> lengths) {
  if (lengths.size() == 1) return attend(q, k, v, std::nullopt, true);
  const at::IntArrayRef sizes(lengths.data(), lengths.size());
  const auto qs = q.split_with_sizes(sizes), ks = k.split_with_sizes(sizes), vs = v.split_with_sizes(sizes);
  std::vector<torch::Tensor> parts;
  parts.reserve(lengths.size());
  for (std::size_t i = 0; i < lengths.size(); ++i)
    parts.push_back(attend(qs[i], ks[i], vs[i], std::nullopt, true));
  return torch::cat(parts);
}

torch::Tensor cached_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v) {
  const std::int64_t fresh = q.size(0), total = k.size(0);
  if (fresh == total) return attend(q, k, v, std::nullopt, true);
  if (fresh == 1) return attend(q, k, v, std::nullopt, false);
  // Row i of the fresh tokens sees the first total-fresh+i+1 keys.
  const torch::Tensor mask = torch::ones({fresh, total}, q.options().dtype(torch::kBool))
                                 .tril(total - fresh)
                                 .unsqueeze(0)
                                 .unsqueeze(0);
  return attend(q, k, v, mask, false);
}

}  // namespace ranktune
