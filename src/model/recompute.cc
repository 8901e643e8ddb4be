#include "model/recompute.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/utils.h>

#include <memory>
#include <utility>

namespace ranktune {
namespace {

using torch::autograd::variable_list;
using LayerFunction = std::function<torch::Tensor(const torch::Tensor&)>;

/// The layer in the backward graph. A node of our own rather than torch::autograd::Function, which takes no
/// list of inputs whose length is known at run time only.
class RecomputeNode : public torch::autograd::Node {
 public:
  RecomputeNode(torch::Tensor x, std::vector<torch::Tensor> leaves, LayerFunction function)
      : x_(std::move(x)), leaves_(std::move(leaves)), function_(std::move(function)) {}

  variable_list apply(variable_list&& gradients) override {
    const torch::AutoGradMode with_gradient(true);
    const torch::Tensor x = x_.detach().requires_grad_(x_.requires_grad());
    variable_list inputs = leaves_;
    if (x.requires_grad()) inputs.push_back(x);
    variable_list found = torch::autograd::grad({function_(x)}, inputs, gradients, /*retain_graph=*/false,
                                                /*create_graph=*/false, /*allow_unused=*/true);
    if (!x.requires_grad()) found.emplace_back();
    return found;
  }
  std::string name() const override { return "Recompute"; }

 private:
  torch::Tensor x_;
  std::vector<torch::Tensor> leaves_;
  LayerFunction function_;
};

}  // namespace

torch::Tensor recomputed(const torch::Tensor& x, const std::vector<torch::Tensor>& leaves,
                         LayerFunction function) {
  variable_list inputs = leaves;
  inputs.push_back(x);
  if (!torch::GradMode::is_enabled() || !torch::autograd::any_variable_requires_grad(inputs))
    return function(x);
  torch::Tensor y;
  {
    const torch::NoGradGuard no_grad;
    y = function(x);
  }
  const std::shared_ptr<RecomputeNode> node(new RecomputeNode(x, leaves, std::move(function)),
                                            torch::autograd::deleteNode);
  node->set_next_edges(torch::autograd::collect_next_edges(inputs));
  torch::autograd::set_history(y, node);
  return y;
}

}  // namespace ranktune
