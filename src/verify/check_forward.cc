#include "verify/check_forward.h"

#include <fmt/core.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <vector>

#include "base/error.h"
#include "eval/generate.h"
#include "model/adapter.h"
#include "model/load_model.h"
#include "model/lora.h"
#include "tensor/from_storage.h"
#include "train/slot_loss.h"
#include "train/trainable.h"
#include "verify/tolerances.h"
#include "zero/loss_scaler.h"

namespace ranktune {
namespace {

/// The main batch: real tokens of all rows as one slot.
struct MainBatch {
  torch::Tensor mask;  // [B,T] bool
  Slot slot;           // labels as recorded
  Slot all_tokens;     // every token a label
};

MainBatch read_main(GoldenModel& golden) {
  const torch::Tensor ids = golden.tensor("main.input_ids"), mask = golden.tensor("main.attention_mask"),
                      labels = golden.tensor("main.labels");
  return {mask.to(torch::kBool), slot_of(ids, mask, labels), slot_of(ids, mask, ids)};
}

void check_logits(GoldenModel& golden, const std::string& subject, const std::string& tensor,
                  const torch::Tensor& logits, const torch::Tensor& mask, const std::string& what,
                  Findings& findings) {
  const torch::Tensor reference = golden.tensor(tensor).index({mask});
  findings.add({subject, what, relative_error(logits, reference), limits_of(golden.dtype()).logits});
}

void check_loss(GoldenModel& golden, const std::string& subject, const std::string& tensor, Decoder& decoder,
                const Slot& slot, Findings& findings) {
  const double loss = slot_loss(decoder, slot) / static_cast<double>(slot.supervised_tokens());
  const double reference = golden.number(tensor);
  findings.add({subject, tensor.substr(tensor.find('.') + 1),
                std::fabs(loss - reference) / std::fabs(reference), limits_of(golden.dtype()).loss});
}

/// [layers+1,B,T,H]: after the embedding, after each layer but the last, and after the final norm.
void check_hidden_states(GoldenModel& golden, Decoder& decoder, const MainBatch& batch, Findings& findings) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> states;
  const PackedTokens tokens = pack_tokens(batch.slot.tokens, batch.slot.boundaries, decoder.device());
  const torch::Tensor last = decoder.hidden_states(tokens, ForwardMode{.layer_inputs = &states});
  states.push_back(decoder.final_norm(last));
  const torch::Tensor reference = golden.tensor("main.hidden_states");
  require(reference.size(0) == static_cast<std::int64_t>(states.size()),
          "{} states were computed, but {} are recorded", states.size(), reference.size(0));
  Worst worst;
  for (std::size_t i = 0; i < states.size(); ++i)
    worst.add(relative_error(states[i], reference[static_cast<std::int64_t>(i)].index({batch.mask})),
              fmt::format("after layer {}", i));
  findings.add(
      {golden.name(), "hidden_states", worst.error(), limits_of(golden.dtype()).logits, worst.where()});
}

using Ids = std::vector<std::int32_t>;

Ids read_ids(GoldenModel& golden, const std::string& name) {
  const torch::Tensor ids = golden.tensor(name).to(torch::kInt32).contiguous().flatten();
  const auto* first = ids.const_data_ptr<std::int32_t>();
  return {first, first + ids.numel()};
}

/// Tokens of `found` that are not `expected`'s, in a figure.
void add_token_figure(const std::string& subject, const std::string& what, const Ids& found,
                      const Ids& expected, Findings& findings) {
  Differences tokens;
  for (std::size_t i = 0; i < std::max(found.size(), expected.size()); ++i)
    tokens.add(i < found.size() && i < expected.size() && found[i] == expected[i],
               [&] { return fmt::format("token {}", i); });
  findings.add(tokens.figure(subject, what));
}

/// Every token as the most probable one after the prompt and the recorded tokens before it: one whole forward
/// pass says so for all of them.
void check_full_forward(GoldenModel& golden, const std::string& name, Decoder& decoder, Findings& findings) {
  const Ids prompt = read_ids(golden, name + ".prompt"), expected = read_ids(golden, name + ".output");
  Slot slot;
  slot.tokens = prompt;
  slot.tokens.insert(slot.tokens.end(), expected.begin(), expected.end() - 1);
  slot.boundaries = {0, static_cast<std::int32_t>(slot.tokens.size())};
  const torch::Tensor logits =
      slot_logits(decoder, slot).slice(0, static_cast<std::int64_t>(prompt.size()) - 1);
  const torch::Tensor best = logits.argmax(-1).to(torch::kInt32);
  const auto* first = best.const_data_ptr<std::int32_t>();
  add_token_figure(golden.name(), name + " whole forward, tokens", {first, first + best.numel()}, expected,
                   findings);
  findings.add({golden.name(), name + " whole forward, last logits",
                relative_error(logits[-1], golden.tensor(name + ".last_logits")), tolerance::kLogits});
}

/// The program's own generation, and the logits that its cached steps come to.
void check_cached(GoldenModel& golden, const std::string& name, Decoder& decoder, Findings& findings) {
  const torch::NoGradGuard no_grad;
  const Ids prompt = read_ids(golden, name + ".prompt"), expected = read_ids(golden, name + ".output");
  const Generation found =
      generate(decoder, prompt,
               {.max_new_tokens = static_cast<std::int64_t>(expected.size()), .stop = {}, .sampling = {}});
  add_token_figure(golden.name(), name + " cached, tokens", found.ids, expected, findings);

  KvCache cache(decoder.architecture().layers);
  const auto on_device = [&](const Ids& ids) {
    return torch::tensor(std::vector<std::int64_t>(ids.begin(), ids.end()), torch::kInt64)
        .to(decoder.device());
  };
  torch::Tensor hidden = decoder.hidden_states(on_device(prompt), cache, ForwardMode{});
  for (std::size_t i = 0; i + 1 < expected.size(); ++i)
    hidden = decoder.hidden_states(on_device({expected[i]}), cache, ForwardMode{});
  const torch::Tensor logits = decoder.logits(decoder.final_norm(hidden.narrow(0, hidden.size(0) - 1, 1)));
  findings.add({golden.name(), name + " cached, last logits",
                relative_error(logits[0], golden.tensor(name + ".last_logits")), tolerance::kLogits});
}

void check_gradients(GoldenModel& golden, const std::string& subject, const std::string& variant,
                     Decoder& decoder, const MainBatch& batch, Findings& findings) {
  const TrainableSet trainable(decoder);
  std::vector<torch::Tensor> leaves;
  for (const ParameterPtr& parameter : trainable.parameters()) {
    parameter->value = parameter->value.detach().requires_grad_();
    leaves.push_back(parameter->value);
  }
  // Of 1024 times the mean loss, near enough, as a training in fp16 would have it.
  const auto tokens = batch.slot.supervised_tokens();
  const double scale = golden.dtype() == torch::kFloat16 ? sum_scale(1024, tokens) : 1.0;
  for (const bool recompute : {false, true}) {
    const SlotGradients found =
        slot_gradients(decoder, batch.slot, leaves, {.training = true, .recompute = recompute}, scale);
    Worst worst;
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      const std::string& name = trainable.parameters()[i]->name;
      const torch::Tensor sum =
          found.gradients[i].defined() ? found.gradients[i] : torch::zeros_like(leaves[i]);
      worst.add(relative_error(sum.detach().to(torch::kFloat64) / (scale * static_cast<double>(tokens)),
                               golden.tensor(fmt::format("{}.grad.{}", variant, name))),
                name);
    }
    findings.add({subject, fmt::format("{} gradients{}", leaves.size(), recompute ? ", recomputed" : ""),
                  worst.error(), limits_of(golden.dtype()).gradient, worst.where()});
  }
}

/// Adds the adapter into the weights as `export --merge` does, and holds result and logits against PEFT's.
void check_merged(GoldenModel& golden, const std::string& subject, const std::string& variant,
                  Decoder& decoder, const MainBatch& batch, Findings& findings) {
  const std::string tensor = variant + ".merged_logits";
  merge_lora(decoder);
  if (golden.has(tensor))
    check_logits(golden, subject, tensor, slot_logits(decoder, batch.slot), batch.mask, "merged_logits",
                 findings);
  const Path folder = golden.merged_folder(variant);
  if (!std::filesystem::exists(folder)) return;
  const WeightFiles files = WeightFiles::open(folder);
  Worst worst;
  for (const ParameterPtr& parameter : decoder.parameters())
    worst.add(relative_error(parameter->value, tensor_over(files.get(parameter->name), nullptr)),
              parameter->name);
  findings.add({subject, "merged weights", worst.error(), tolerance::kMergedWeight, worst.where()});
  if (!golden.has(tensor)) return;
  const auto merged = load_model({.folder = folder, .dtype = torch::kFloat32, .device = decoder.device()});
  check_logits(golden, subject, tensor, slot_logits(*merged, batch.slot), batch.mask,
               "logits of the merged folder", findings);
}

}  // namespace

void check_bare_model(GoldenModel& golden, torch::Device device, Findings& findings) {
  const std::string& subject = golden.name();
  findings.guard(subject, "model", [&] {
    const auto decoder = golden.decoder("", device);
    const MainBatch batch = read_main(golden);
    if (golden.has("main.logits"))
      check_logits(golden, subject, "main.logits", slot_logits(*decoder, batch.slot), batch.mask, "logits",
                   findings);
    if (golden.has("main.loss")) check_loss(golden, subject, "main.loss", *decoder, batch.slot, findings);
    if (golden.has("main.loss_all_tokens"))
      check_loss(golden, subject, "main.loss_all_tokens", *decoder, batch.all_tokens, findings);
    if (golden.has("main.hidden_states"))
      findings.guard(subject, "hidden_states",
                     [&] { check_hidden_states(golden, *decoder, batch, findings); });
    for (std::int64_t i = 0; golden.is_fp32() && i < golden.generations(); ++i) {
      const std::string name = fmt::format("gen.{}", i);
      findings.guard(subject, name, [&] {
        check_full_forward(golden, name, *decoder, findings);
        check_cached(golden, name, *decoder, findings);
      });
    }
  });
}

void check_variant(GoldenModel& golden, const std::string& variant, torch::Device device,
                   Findings& findings) {
  const std::string subject = golden.name() + "/" + variant;
  const auto decoder = golden.decoder(variant, device);
  const MainBatch batch = read_main(golden);
  if (golden.has(variant + ".logits"))
    check_logits(golden, subject, variant + ".logits", slot_logits(*decoder, batch.slot), batch.mask,
                 "logits", findings);
  if (golden.has(variant + ".loss"))
    check_loss(golden, subject, variant + ".loss", *decoder, batch.slot, findings);
  const TrainableSet trainable(*decoder);
  if (golden.has(fmt::format("{}.grad.{}", variant, trainable.parameters().front()->name)))
    findings.guard(subject, "gradients",
                   [&] { check_gradients(golden, subject, variant, *decoder, batch, findings); });
  if (trainable.is_adapter() && golden.is_fp32())
    findings.guard(subject, "merged model",
                   [&] { check_merged(golden, subject, variant, *decoder, batch, findings); });
}

}  // namespace ranktune
