#include "train/slot_loss.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/utils.h>

#include "model/label_loss.h"

namespace ranktune {
namespace {

/// Which hidden rows predict a label, and the labels: row t-1 predicts token t of the same example.
struct Labels {
  torch::Tensor rows;     // [N] int64
  torch::Tensor targets;  // [N] int64
};

Labels find_labels(const Slot& slot, torch::Device device) {
  std::vector<std::int64_t> rows, targets;
  for (std::size_t example = 0; example + 1 < slot.boundaries.size(); ++example)
    for (std::int32_t t = slot.boundaries[example] + 1; t < slot.boundaries[example + 1]; ++t) {
      if (slot.loss_mask[static_cast<std::size_t>(t)] == 0) continue;
      rows.push_back(t - 1);
      targets.push_back(slot.tokens[static_cast<std::size_t>(t)]);
    }
  return {torch::tensor(rows, torch::kInt64).to(device), torch::tensor(targets, torch::kInt64).to(device)};
}

torch::Tensor summed_loss(Decoder& decoder, const Slot& slot, const ForwardMode& mode, double scale) {
  const Labels labels = find_labels(slot, decoder.device());
  const PackedTokens tokens = pack_tokens(slot.tokens, slot.boundaries, decoder.device());
  const torch::Tensor hidden = decoder.hidden_states(tokens, mode).index_select(0, labels.rows);
  return label_loss(decoder.final_norm(hidden, mode.use_adapter),
                    output_head(decoder.head(), mode.use_adapter), labels.targets, scale);
}

}  // namespace

SlotGradients slot_gradients(Decoder& decoder, const Slot& slot, const std::vector<torch::Tensor>& leaves,
                             const ForwardMode& mode, double loss_scale) {
  const torch::Tensor loss = summed_loss(decoder, slot, mode, loss_scale);
  SlotGradients result;
  result.gradients = torch::autograd::grad({loss}, leaves, /*grad_outputs=*/{}, /*retain_graph=*/false,
                                           /*create_graph=*/false, /*allow_unused=*/true);
  result.loss_sum = loss.item<double>() / loss_scale;
  return result;
}

double slot_loss(Decoder& decoder, const Slot& slot) {
  const torch::NoGradGuard no_grad;
  return summed_loss(decoder, slot, ForwardMode{}, 1.0).item<double>();
}

}  // namespace ranktune
