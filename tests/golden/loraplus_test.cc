// LoRA+ against PEFT's create_loraplus_optimizer: twenty steps of a DoRA adapter whose B matrices learn 8
// times as fast.

#include <cmath>

#include "comm/collectives.h"
#include "comm/make_communicator.h"
#include "golden/expect_figures.h"
#include "ranks/rank_session.h"
#include "tensor/from_storage.h"
#include "train/exact_sum.h"
#include "train/slot_loss.h"
#include "train/trainable.h"
#include "verify/golden_model.h"
#include "verify/tolerances.h"
#include "zero/lr_schedule.h"
#include "zero/zero2_optimizer.h"

namespace ranktune {
namespace {

constexpr double kRatio = 8, kLr = 1e-3;

/// One step over two micro-batches, divided among the ranks; returns the loss and the gradient norm.
std::pair<double, double> train_step(Decoder& decoder, TrainableSet& trainable, Zero2Optimizer& optimizer,
                                     Communicator& ranks, GoldenModel& golden, std::int64_t step, double lr) {
  trainable.bind(optimizer);
  const torch::Tensor ids = golden.tensor("train.input_ids")[step],
                      mask = golden.tensor("train.attention_mask")[step],
                      labels = golden.tensor("train.labels")[step];
  std::int64_t loss = 0, tokens = 0;
  for (std::int64_t micro = 0; micro < ids.size(0); ++micro) {
    const Slot slot = slot_of(ids[micro], mask[micro], labels[micro]);
    tokens += slot.supervised_tokens();
    if (micro % ranks.size() != ranks.rank()) continue;
    const SlotGradients found = slot_gradients(decoder, slot, trainable.leaves(), {.training = true});
    loss += loss_to_fixed(found.loss_sum);
    optimizer.accumulate(found.gradients);
  }
  loss = all_reduce_value(ranks, loss, ReduceOp::kSum);
  return {loss_from_fixed(loss) / static_cast<double>(tokens), optimizer.step(tokens, lr).grad_norm};
}

TEST(LoraPlus, FollowsPeftsOptimizer) {
  GoldenModel golden(golden_folder("qwen2_mha"));
  const Path data = Path(RANKTUNE_TEST_DATA) / "zero" / "loraplus";
  const SafetensorsFile numbers = SafetensorsFile::open(data / "numbers.safetensors");
  const torch::Tensor losses = tensor_over(numbers.get("train.loss"), nullptr),
                      norms = tensor_over(numbers.get("train.grad_norm"), nullptr);
  const auto control = make_control_communicator(rank_session(), CommOptions{}, nullptr);
  const auto decoder = golden.decoder("dora", torch::kCPU);
  TrainableSet trainable(*decoder, kRatio);
  Zero2Optimizer optimizer(
      Zero2Setup{.layout = trainable.layout(),
                 .zero = {.max_grad_norm = golden.variant_settings("dora")["max_grad_norm"].get<double>()},
                 .adamw = {.lr = kLr, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1}},
      *control);
  optimizer.set_parameters(trainable.values());
  const LrSchedule schedule({.kind = ScheduleKind::kCosine, .warmup_steps = 2}, 20);
  for (std::int64_t step = 0; step < 20; ++step) {
    const auto [loss, norm] =
        train_step(*decoder, trainable, optimizer, *control, golden, step, kLr * schedule.factor(step));
    const double expected_loss = losses[step].item<double>(), expected_norm = norms[step].item<double>();
    EXPECT_NEAR(loss, expected_loss, expected_loss * tolerance::kLoss) << "step " << step;
    EXPECT_NEAR(norm, expected_norm, expected_norm * tolerance::kGradientNorm) << "step " << step;
  }
  const SafetensorsFile trained = SafetensorsFile::open(data / "trained.safetensors");
  ASSERT_EQ(trained.tensors().size(), trainable.parameters().size());
  for (std::size_t i = 0; i < trainable.parameters().size(); ++i) {
    const std::string& name = trainable.parameters()[i]->name;
    const torch::Tensor found = optimizer.parameter(static_cast<int>(i));
    EXPECT_LT(absolute_error(found, tensor_over(trained.get(name), nullptr)), tolerance::kParameter) << name;
  }
}

}  // namespace
}  // namespace ranktune
