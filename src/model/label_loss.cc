#include "model/label_loss.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/utils.h>

#include <algorithm>
#include <vector>

#include "model/kernels/product.h"

namespace ranktune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Rows of logits in memory at once: 128 x 152,000 words of fp32 are 78 MB. A GPU is at its full speed only
/// with more.
std::int64_t rows_at_once(const torch::Tensor& hidden) { return hidden.is_cuda() ? 1024 : 128; }

struct Chunk {
  std::int64_t first, count;
};
std::vector<Chunk> chunks_of(const torch::Tensor& hidden) {
  const std::int64_t rows = hidden.size(0), step = rows_at_once(hidden);
  std::vector<Chunk> chunks;
  for (std::int64_t first = 0; first < rows; first += step)
    chunks.push_back({first, std::min(step, rows - first)});
  return chunks;
}

class LabelLoss : public torch::autograd::Function<LabelLoss> {
 public:
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& hidden,
                               const torch::Tensor& weight, const torch::Tensor& targets,
                               const torch::Tensor& ids, const torch::Tensor& token_rows, double scale) {
    const bool hidden_gradient = hidden.requires_grad(), weight_gradient = weight.requires_grad(),
               has_rows = token_rows.numel() > 0, rows_gradient = has_rows && token_rows.requires_grad();
    OutputHead head(weight);
    if (has_rows) head.ids = ids, head.rows = token_rows;
    torch::Tensor total = torch::zeros({}, hidden.options().dtype(torch::kFloat64));
    torch::Tensor d_hidden = hidden_gradient ? torch::empty_like(hidden) : torch::Tensor();
    torch::Tensor d_weight = weight_gradient
                                 ? torch::zeros(weight.sizes(), weight.options().dtype(torch::kFloat32))
                                 : torch::Tensor();
    torch::Tensor d_rows = rows_gradient
                               ? torch::zeros(token_rows.sizes(), token_rows.options().dtype(torch::kFloat32))
                               : torch::Tensor();
    for (const Chunk& chunk : chunks_of(hidden)) {
      const torch::Tensor rows = hidden.narrow(0, chunk.first, chunk.count);
      const torch::Tensor target = targets.narrow(0, chunk.first, chunk.count).unsqueeze(1);
      torch::Tensor log_probabilities = torch::log_softmax(logits_of(rows, head), -1);
      total -= log_probabilities.gather(1, target).sum(torch::kFloat64);
      if (!hidden_gradient && !weight_gradient && !rows_gradient) continue;
      torch::Tensor d_logits = log_probabilities.exp_();
      d_logits.scatter_add_(1, target, torch::full_like(target, -1.0, d_logits.options()));
      if (scale != 1.0) d_logits.mul_(scale);
      torch::Tensor narrow_gradient = d_logits.to(hidden.scalar_type());
      torch::Tensor of_rows;
      if (has_rows) {  // their columns are the adapter's, not the weight's
        of_rows = narrow_gradient.index_select(1, ids);
        narrow_gradient.index_fill_(1, ids, 0);
      }
      if (hidden_gradient) {
        torch::Tensor d_chunk = product(narrow_gradient, weight);
        if (has_rows) d_chunk += product(of_rows, token_rows);
        d_hidden.narrow(0, chunk.first, chunk.count).copy_(d_chunk);
      }
      if (rows_gradient) d_rows += product(of_rows.t(), rows);
      if (weight_gradient) d_weight += product(narrow_gradient.t(), rows);
    }
    if (weight_gradient) d_weight = d_weight.to(weight.scalar_type());
    if (rows_gradient) d_rows = d_rows.to(token_rows.scalar_type());
    context->save_for_backward({d_hidden, d_weight, d_rows});
    return total.mul_(scale);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto scaled = [&](const torch::Tensor& gradient) {
      return gradient.defined() ? gradient * gradients[0].to(gradient.scalar_type()) : torch::Tensor();
    };
    return {scaled(saved[0]), scaled(saved[1]), torch::Tensor(),
            torch::Tensor(),  scaled(saved[2]), torch::Tensor()};
  }
};

}  // namespace

torch::Tensor label_loss(const torch::Tensor& hidden, const OutputHead& head, const torch::Tensor& targets,
                         double scale) {
  // LibTorch's Function takes no undefined tensors: no rows are an empty one.
  const torch::Tensor none = torch::empty({0}, head.weight.options());
  const bool has_rows = head.rows.defined();
  return LabelLoss::apply(hidden, head.weight, targets, has_rows ? head.ids : none,
                          has_rows ? head.rows : none, scale);
}

torch::Tensor row_losses(const torch::Tensor& hidden, const OutputHead& head, const torch::Tensor& targets) {
  const torch::NoGradGuard no_grad;
  torch::Tensor losses = torch::empty({hidden.size(0)}, hidden.options().dtype(torch::kFloat32));
  for (const Chunk& chunk : chunks_of(hidden)) {
    const torch::Tensor logits = logits_of(hidden.narrow(0, chunk.first, chunk.count), head);
    const torch::Tensor target = targets.narrow(0, chunk.first, chunk.count).unsqueeze(1);
    losses.narrow(0, chunk.first, chunk.count)
        .copy_(-torch::log_softmax(logits, -1).gather(1, target).squeeze(1));
  }
  return losses;
}

}  // namespace ranktune
