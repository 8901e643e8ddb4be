#include "verify/check_trajectory.h"

#include <fmt/core.h>

#include <cmath>
#include <memory>
#include <optional>
#include <regex>
#include <vector>

#include "base/error.h"
#include "comm/collectives.h"
#include "model/trained_modules.h"
#include "storage/weight_files.h"
#include "tensor/from_storage.h"
#include "train/exact_sum.h"
#include "train/slot_loss.h"
#include "train/trainable.h"
#include "verify/tolerances.h"
#include "zero/lr_schedule.h"
#include "zero/zero2_optimizer.h"

namespace ranktune {
namespace {

constexpr const char* kWhere = "meta.json";

/// "get_cosine_schedule_with_warmup(num_warmup_steps=2, num_training_steps=20)" and the like.
LrSchedule read_schedule(const Json& settings, std::int64_t steps) {
  const auto text = json_get_or<std::string>(
      settings, "schedule",
      fmt::format("get_cosine_schedule_with_warmup(num_warmup_steps=2, num_training_steps={})", steps),
      kWhere);
  static const std::regex form(
      R"(get_(constant|linear|cosine)_schedule(?:_with_warmup)?\((?:num_warmup_steps=(\d+))?(?:, num_training_steps=(\d+))?\))");
  std::smatch parts;
  require(std::regex_match(text, parts, form), "meta.json: schedule \"{}\" is not understood", text);
  const std::string kind = parts[1];
  const ScheduleOptions options{.kind = kind == "constant" ? ScheduleKind::kConstant
                                        : kind == "linear" ? ScheduleKind::kLinear
                                                           : ScheduleKind::kCosine,
                                .warmup_steps = parts[2].matched ? std::stoll(parts[2]) : 0};
  return LrSchedule(options, parts[3].matched ? std::stoll(parts[3]) : steps);
}

/// What the description of the format says where meta.json says nothing.
AdamWOptions read_adamw(const Json& settings) {
  const auto optimizer = json_get_or<std::string>(settings, "optimizer", "torch.optim.AdamW", kWhere);
  require(optimizer == "torch.optim.AdamW", "meta.json: optimizer \"{}\" is not torch.optim.AdamW",
          optimizer);
  require(json_get_or<double>(settings, "lora_dropout", 0.0, kWhere) == 0,
          "meta.json: a training with dropout cannot be repeated");
  const auto betas = json_get_or<std::vector<double>>(settings, "betas", {0.9, 0.95}, kWhere);
  require(betas.size() == 2, "meta.json: {} betas, but AdamW has two", betas.size());
  return {.lr = json_get_or<double>(settings, "lr", 1e-3, kWhere),
          .beta1 = betas[0],
          .beta2 = betas[1],
          .eps = json_get_or<double>(settings, "eps", 1e-8, kWhere),
          .weight_decay = json_get_or<double>(settings, "weight_decay", 0.1, kWhere)};
}

/// One step of the training, the same on every rank.
struct StepNumbers {
  double loss = 0, grad_norm = 0, lr = 0;
  std::vector<std::int64_t> micro_tokens;
  std::vector<double> micro_losses;  ///< summed nats
};

class Trajectory {
 public:
  Trajectory(GoldenModel& golden, const std::string& variant, const TrajectoryRanks& ranks)
      : golden_(golden), variant_(variant), ranks_(ranks) {
    together(ranks_.control, [this] { load(); });
  }

  void run() {
    for (std::int64_t step = 0; step < ids_.size(0); ++step) steps_.push_back(train_step(step));
    gather_moments();
    trainable_->bind(*optimizer_);
  }

  void compare(Findings& findings);

 private:
  void load();
  StepNumbers train_step(std::int64_t step);
  void gather_moments();
  std::vector<double> gathered(const std::vector<float>& owned);

  void compare_steps(Findings& findings);
  void compare_micro_batches(Findings& findings);
  void compare_moments(Findings& findings);
  void compare_parameters(Findings& findings);
  void compare_decay(Findings& findings);
  void compare_logits(Findings& findings);

  std::string subject() const { return fmt::format("{}/{}", golden_.name(), variant_); }
  std::string recorded(const char* what) const { return fmt::format("{}.train.{}", variant_, what); }
  bool full() const { return variant_ == "full"; }

  GoldenModel& golden_;
  const std::string variant_;
  TrajectoryRanks ranks_;
  torch::Tensor ids_, mask_, labels_;  // [steps, micro-batches, B, T]
  AdamWOptions adamw_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<TrainableSet> trainable_;
  std::unique_ptr<Zero2Optimizer> optimizer_;
  std::unique_ptr<LrSchedule> schedule_;
  std::vector<StepNumbers> steps_;
  std::vector<double> exp_avg_, exp_avg_sq_;  // whole, in the layout's order
};

void Trajectory::load() {
  ids_ = golden_.tensor("train.input_ids");
  mask_ = golden_.tensor("train.attention_mask");
  labels_ = golden_.tensor("train.labels");
  require(ids_.dim() == 4, "train.input_ids has shape {}, but [steps, micro-batches, B, T] is needed",
          shape_text(ids_.sizes().vec()));
  const Json settings = golden_.train_settings();
  adamw_ = read_adamw(settings);
  schedule_ = std::make_unique<LrSchedule>(read_schedule(settings, ids_.size(0)));
  decoder_ = golden_.decoder(variant_, ranks_.device);
  trainable_ = std::make_unique<TrainableSet>(*decoder_);
  const double max_norm =
      json_get_or<double>(golden_.variant_settings(variant_), "max_grad_norm", 1.0, kWhere);
  optimizer_ = std::make_unique<Zero2Optimizer>(Zero2Setup{.layout = trainable_->layout(),
                                                           .zero = {.max_grad_norm = max_norm},
                                                           .adamw = adamw_,
                                                           .device = ranks_.device,
                                                           .working_dtype = trainable_->working_dtype()},
                                                ranks_.data);
  optimizer_->set_parameters(trainable_->values());
}

StepNumbers Trajectory::train_step(std::int64_t step) {
  trainable_->bind(*optimizer_);
  StepNumbers numbers;
  std::int64_t tokens = 0;
  std::vector<std::int64_t> losses;  // fixed point, one a micro-batch; zero on ranks that have not run it
  together(ranks_.control, [&] {
    for (std::int64_t micro = 0; micro < ids_.size(1); ++micro) {
      const Slot slot = slot_of(ids_[step][micro], mask_[step][micro], labels_[step][micro]);
      numbers.micro_tokens.push_back(slot.supervised_tokens());
      tokens += slot.supervised_tokens();
      losses.push_back(0);
      if (micro % ranks_.control.size() != ranks_.control.rank()) continue;
      const SlotGradients found = slot_gradients(*decoder_, slot, trainable_->leaves(), {.training = true});
      losses.back() = loss_to_fixed(found.loss_sum);
      optimizer_->accumulate(found.gradients);
    }
  });
  all_reduce(ranks_.control, std::span<std::int64_t>(losses), ReduceOp::kSum);
  numbers.lr = adamw_.lr * schedule_->factor(step);
  const StepResult result = optimizer_->step(tokens, numbers.lr);
  require(!result.skipped, "step {} changed nothing: its gradients are not finite or too large", step);
  numbers.grad_norm = result.grad_norm;
  for (const std::int64_t loss : losses) {
    numbers.micro_losses.push_back(loss_from_fixed(loss));
    numbers.loss += numbers.micro_losses.back() / static_cast<double>(tokens);
  }
  return numbers;
}

/// Every rank owns a part; sums with zeros elsewhere are exact.
std::vector<double> Trajectory::gathered(const std::vector<float>& owned) {
  std::vector<double> whole(static_cast<std::size_t>(optimizer_->layout().total()));
  std::copy(owned.begin(), owned.end(), whole.begin() + optimizer_->owned().begin);
  all_reduce(ranks_.control, std::span<double>(whole), ReduceOp::kSum);
  return whole;
}

void Trajectory::gather_moments() {
  const OptimizerSnapshot mine = optimizer_->snapshot();
  exp_avg_ = gathered(mine.exp_avg);
  exp_avg_sq_ = gathered(mine.exp_avg_sq);
}

void Trajectory::compare(Findings& findings) {
  const auto part = [&](const char* what, void (Trajectory::*compare_part)(Findings&)) {
    findings.guard(subject(), what, [&] { (this->*compare_part)(findings); });
  };
  part("training steps", &Trajectory::compare_steps);
  part("micro-batches", &Trajectory::compare_micro_batches);
  part("moments", &Trajectory::compare_moments);
  part("decayed weights", &Trajectory::compare_decay);
  part("final parameters", &Trajectory::compare_parameters);
  part("final logits", &Trajectory::compare_logits);
}

void Trajectory::compare_steps(Findings& findings) {
  struct Series {
    const char* name;
    double StepNumbers::*value;
    double tolerance;
  };
  for (const Series& series : {Series{"lr", &StepNumbers::lr, tolerance::kLearningRate},
                               Series{"loss", &StepNumbers::loss, tolerance::kLoss},
                               Series{"grad_norm", &StepNumbers::grad_norm, tolerance::kGradientNorm}}) {
    if (!golden_.has(recorded(series.name))) continue;
    const bool is_rate = series.value == &StepNumbers::lr;
    Worst worst;
    for (std::size_t step = 0; step < steps_.size(); ++step) {
      const double reference = golden_.number(recorded(series.name), static_cast<std::int64_t>(step));
      // A rate of 0 has no relative error.
      const double scale = is_rate ? adamw_.lr : std::fabs(reference);
      worst.add(std::fabs(steps_[step].*series.value - reference) / scale, fmt::format("step {}", step));
    }
    findings.add({subject(), fmt::format("train.{} of {} steps", series.name, steps_.size()), worst.error(),
                  series.tolerance, worst.where()});
  }
}

void Trajectory::compare_micro_batches(Findings& findings) {
  const std::string tokens_name = recorded("micro_tokens"), losses_name = recorded("micro_mean_loss");
  const bool has_tokens = golden_.has(tokens_name), has_losses = golden_.has(losses_name);
  Differences tokens;
  Worst losses;
  std::int64_t index = 0;
  for (std::size_t step = 0; step < steps_.size(); ++step)
    for (std::size_t micro = 0; micro < steps_[step].micro_tokens.size(); ++micro, ++index) {
      const std::string where = fmt::format("step {}, micro-batch {}", step, micro);
      const auto count = static_cast<double>(steps_[step].micro_tokens[micro]);
      if (has_tokens) tokens.add(golden_.number(tokens_name, index) == count, [&] { return where; });
      if (!has_losses || count == 0) continue;
      const double reference = golden_.number(losses_name, index);
      losses.add(std::fabs(steps_[step].micro_losses[micro] / count - reference) / std::fabs(reference),
                 where);
    }
  if (has_tokens) findings.add(tokens.figure(subject(), "train.micro_tokens"));
  if (has_losses)
    findings.add({subject(), "train.micro_mean_loss", losses.error(), tolerance::kLoss, losses.where()});
}

void Trajectory::compare_moments(Findings& findings) {
  struct Moment {
    const char* name;
    const std::vector<double>& values;
    double tolerance;
  };
  for (const Moment& moment : {Moment{"exp_avg", exp_avg_, tolerance::kFirstMoment},
                               Moment{"exp_avg_sq", exp_avg_sq_, tolerance::kSecondMoment}}) {
    Worst worst;
    int compared = 0;
    const FlatLayout& layout = optimizer_->layout();
    for (int i = 0; i < layout.count(); ++i) {
      const ParameterSpec& spec = layout.specs()[static_cast<std::size_t>(i)];
      const std::string name = fmt::format("{}.{}", recorded(moment.name), spec.name);
      if (!golden_.has(name)) continue;
      const auto begin = moment.values.begin() + layout.offset(i);
      const torch::Tensor found =
          torch::tensor(std::vector<double>(begin, begin + layout.numel(i)), torch::kFloat64)
              .reshape(spec.shape);
      worst.add(relative_error(found, golden_.tensor(name)), spec.name);
      ++compared;
    }
    if (compared > 0)
      findings.add({subject(), fmt::format("train.{} of {} tensors", moment.name, compared), worst.error(),
                    moment.tolerance, worst.where()});
  }
}

/// Full training: weight decay lies on the recorded weights and on no others.
void Trajectory::compare_decay(Findings& findings) {
  const Json settings = golden_.variant_settings(variant_);
  if (!settings.contains("decay") && !settings.contains("no_decay")) return;
  const auto decayed = json_get_or<std::vector<std::string>>(settings, "decay", {}, kWhere);
  const auto spared = json_get_or<std::vector<std::string>>(settings, "no_decay", {}, kWhere);
  Differences weights;
  for (const ParameterSpec& spec : optimizer_->layout().specs()) {
    const std::vector<std::string>& list = spec.decay ? decayed : spared;
    weights.add(std::find(list.begin(), list.end(), spec.name) != list.end(), [&] { return spec.name; });
  }
  findings.add(weights.figure(subject(), "weight decay"));
}

void Trajectory::compare_parameters(Findings& findings) {
  const Path folder = golden_.trained_folder(variant_);
  if (!std::filesystem::exists(folder)) {
    if (golden_.has(recorded("loss")))
      findings.add_failure(subject(), "final parameters", fmt::format("{} is missing", folder.string()));
    return;
  }
  std::optional<WeightFiles> weights;
  std::optional<SafetensorsFile> adapter;
  if (full())
    weights.emplace(WeightFiles::open(folder));
  else
    adapter.emplace(SafetensorsFile::open(folder / "adapter_model.safetensors"));
  const std::size_t recorded_count = full() ? weights->tensors().size() : adapter->tensors().size();
  Worst key_biases, others;
  int count = 0;
  for (const ParameterPtr& parameter : trainable_->parameters()) {
    const std::string& name = parameter->name;
    const TensorInfo& stored = full() ? weights->get(name) : adapter->get(name);
    const bool key_bias = full() && name.ends_with("k_proj.bias");
    (key_bias ? key_biases : others)
        .add(absolute_error(optimizer_->parameter(count++), tensor_over(stored, nullptr)), name);
  }
  findings.add({subject(), fmt::format("final parameters, {} tensors", count), others.error(),
                tolerance::kParameter, others.where()});
  if (!key_biases.where().empty())
    findings.add({subject(), "final parameters, k_proj.bias", key_biases.error(), tolerance::kKeyBias,
                  key_biases.where()});
  const std::size_t expected =
      static_cast<std::size_t>(count) + (full() ? 0 : stored_again(*decoder_).size());
  if (recorded_count != expected)
    findings.add_failure(subject(), "final parameters",
                         fmt::format("{} tensors are recorded, {} were trained", recorded_count, expected));
}

void Trajectory::compare_logits(Findings& findings) {
  if (!golden_.has(recorded("final_logits"))) return;
  const torch::Tensor ids = golden_.tensor("main.input_ids"), mask = golden_.tensor("main.attention_mask");
  const torch::Tensor reference = golden_.tensor(recorded("final_logits")).index({mask.to(torch::kBool)});
  findings.add({subject(), "train.final_logits",
                relative_error(slot_logits(*decoder_, slot_of(ids, mask, ids)), reference),
                tolerance::kLogits});
}

}  // namespace

void check_trajectory(GoldenModel& golden, const std::string& variant, const TrajectoryRanks& ranks,
                      Findings& findings) {
  Trajectory trajectory(golden, variant, ranks);
  trajectory.run();
  if (ranks.control.rank() == 0) trajectory.compare(findings);
}

}  // namespace ranktune
