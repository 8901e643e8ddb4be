// Logits, losses, gradients and greedy decoding against transformers and PEFT. The tolerances are those a
// correct fp32 computation meets with a wide margin (its own distance to fp64 is about 3e-6 of the largest
// entry).

#include <gtest/gtest.h>

#include "eval/generate.h"
#include "golden/golden_case.h"
#include "model/lora.h"
#include "train/slot_loss.h"

namespace ranktune {
namespace {

constexpr double kLogitTolerance = 2e-5;
constexpr double kLossTolerance = 1e-6;
constexpr double kGradientTolerance = 1e-4;

struct VariantCase {
  std::string model, variant;
};
std::string case_name(const testing::TestParamInfo<VariantCase>& info) {
  return info.param.model + "_" + (info.param.variant.empty() ? "bare" : info.param.variant);
}

class GoldenModel : public testing::TestWithParam<VariantCase> {
 protected:
  GoldenModel() : golden_(GetParam().model), decoder_(golden_.decoder(GetParam().variant)) {}
  Slot main_slot() const {
    return slot_of(golden_.tensor("main.input_ids"), golden_.tensor("main.attention_mask"),
                   golden_.tensor("main.labels"));
  }
  std::string prefix() const { return GetParam().variant.empty() ? "main" : GetParam().variant; }

  GoldenCase golden_;
  std::unique_ptr<Decoder> decoder_;
};

TEST_P(GoldenModel, PackedLogitsEqualThePaddedBatchs) {
  const torch::NoGradGuard no_grad;
  const Slot slot = main_slot();
  const torch::Tensor hidden =
      decoder_->hidden_states(pack_tokens(slot.tokens, slot.boundaries, torch::kCPU), ForwardMode{});
  const torch::Tensor logits = decoder_->logits(decoder_->final_norm(hidden));
  const torch::Tensor mask = golden_.tensor("main.attention_mask").to(torch::kBool);
  EXPECT_LT(relative_error(logits, golden_.tensor(prefix() + ".logits").index({mask})), kLogitTolerance);
}

TEST_P(GoldenModel, LossIsTheReferences) {
  const Slot slot = main_slot();
  const double loss = slot_loss(*decoder_, slot) / static_cast<double>(slot.supervised_tokens());
  const double reference = golden_.number(prefix() + ".loss");
  EXPECT_NEAR(loss, reference, reference * kLossTolerance);
}

TEST_P(GoldenModel, AdapterGradientsAreTheReferencesWithAndWithoutRecomputation) {
  if (GetParam().variant.empty()) {
    EXPECT_TRUE(lora_parameters(*decoder_).empty());
    return;
  }
  const Slot slot = main_slot();
  const ParameterList parameters = lora_parameters(*decoder_);
  ASSERT_FALSE(parameters.empty());
  std::vector<torch::Tensor> leaves;
  for (const ParameterPtr& parameter : parameters) {
    parameter->value = parameter->value.detach().requires_grad_();
    leaves.push_back(parameter->value);
  }
  for (const bool recompute : {false, true}) {
    const SlotGradients found =
        slot_gradients(*decoder_, slot, leaves, {.training = true, .recompute = recompute});
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const torch::Tensor mean = found.gradients[i] / static_cast<double>(slot.supervised_tokens());
      const torch::Tensor reference = golden_.tensor(prefix() + ".grad." + parameters[i]->name);
      if (reference.abs().max().item<double>() == 0)
        EXPECT_EQ(mean.abs().max().item<double>(), 0) << parameters[i]->name;
      else
        EXPECT_LT(relative_error(mean, reference), kGradientTolerance) << parameters[i]->name;
    }
  }
}

TEST_P(GoldenModel, MergedLogitsAreTheReferences) {
  if (!golden_.meta()["tensors"].contains(prefix() + ".merged_logits")) return;  // recorded for some variants
  const torch::NoGradGuard no_grad;
  merge_lora(*decoder_);
  EXPECT_TRUE(lora_parameters(*decoder_).empty());
  const Slot slot = main_slot();
  const torch::Tensor hidden =
      decoder_->hidden_states(pack_tokens(slot.tokens, slot.boundaries, torch::kCPU), ForwardMode{});
  const torch::Tensor logits = decoder_->logits(decoder_->final_norm(hidden));
  const torch::Tensor mask = golden_.tensor("main.attention_mask").to(torch::kBool);
  EXPECT_LT(relative_error(logits, golden_.tensor(prefix() + ".merged_logits").index({mask})),
            kLogitTolerance);
}

TEST_P(GoldenModel, GreedyDecodingWithACacheGivesTheReferencesTokens) {
  if (!GetParam().variant.empty()) return;  // recorded for the bare models
  for (std::size_t i = 0; i < golden_.meta()["gen"].size(); ++i) {
    const std::string name = "gen." + std::to_string(i);
    const torch::Tensor prompt = golden_.tensor(name + ".prompt").to(torch::kInt32);
    const torch::Tensor expected = golden_.tensor(name + ".output").to(torch::kInt32);
    const Generation found =
        generate(*decoder_, {prompt.const_data_ptr<std::int32_t>(), static_cast<std::size_t>(prompt.numel())},
                 {.max_new_tokens = expected.numel(), .stop = {}, .sampling = {}});
    EXPECT_TRUE(torch::equal(torch::tensor(found.ids, torch::kInt32), expected)) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, GoldenModel,
                         testing::Values(VariantCase{"llama_rope3", ""}, VariantCase{"llama_rope3", "lora"},
                                         VariantCase{"llama_smol_tied", ""},
                                         VariantCase{"llama_smol_tied", "lora"}, VariantCase{"qwen1", ""},
                                         VariantCase{"qwen1", "lora"}, VariantCase{"qwen1", "rank1"},
                                         VariantCase{"qwen2_gqa_tied", ""},
                                         VariantCase{"qwen2_gqa_tied", "lora"}, VariantCase{"qwen2_mha", ""},
                                         VariantCase{"qwen2_mha", "lora"}, VariantCase{"qwen2_mha", "rslora"},
                                         VariantCase{"qwen2_mha", "zero_b"}, VariantCase{"qwen2_mha", "dora"},
                                         VariantCase{"qwen3_gqa_bf16", ""},
                                         VariantCase{"qwen3_gqa_bf16", "lora"}),
                         case_name);

}  // namespace
}  // namespace ranktune
