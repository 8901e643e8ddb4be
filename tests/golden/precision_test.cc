// bf16 and fp16 against the recorded fp32 numbers. What may be demanded of these types is what the reference
// reaches in them: transformers' and PEFT's own distance from their fp32 numbers is recorded in
// precision.json (make_precision.py). Two correct programs round at different places, so ours may be twice
// as far.

#include "base/json.h"
#include "golden/expect_figures.h"
#include "verify/check_forward.h"

namespace ranktune {
namespace {

constexpr double kTimesTheReference = 2;

const Json& recorded() {
  static const Json content = read_json_file(golden_folder("precision.json"));
  return content;
}

/// The reference's worst error of that kind in a type, over all models: a single loss may be right by chance.
double worst_recorded(const std::string& dtype, const std::string& kind) {
  double worst = 0;
  for (const auto& model : recorded())
    for (const auto& subject : model.at(dtype)) worst = std::max(worst, subject.value(kind, 0.0));
  return worst;
}

class GoldenPrecision : public testing::TestWithParam<std::string> {
 protected:
  std::string dtype() const { return GetParam().substr(0, 4); }
  std::string model() const { return GetParam().substr(5); }
};

TEST_P(GoldenPrecision, IsAsNearAsTheReferenceInThatType) {
  GoldenModel golden(golden_folder(model()), dtype() == "bf16" ? torch::kBFloat16 : torch::kFloat16);
  Findings findings;
  check_bare_model(golden, torch::kCPU, findings);
  for (const std::string& variant : golden.variants()) check_variant(golden, variant, torch::kCPU, findings);
  EXPECT_GE(figures_named(findings, "gradients"), 2);
  for (const Figure& figure : findings.figures()) {
    EXPECT_TRUE(figure.passed()) << figure_line(figure);
    EXPECT_GT(figure.error, 0) << "computed in fp32? " << figure_line(figure);
    const std::size_t slash = figure.subject.find('/');
    const std::string subject = slash == std::string::npos ? "main" : figure.subject.substr(slash + 1);
    const std::string kind = figure.what.find("gradients") != std::string::npos ? "gradients" : figure.what;
    // First-generation Qwen is not among the reference's models.
    const Json own =
        recorded().contains(model()) ? recorded()[model()][dtype()].value(subject, Json()) : Json();
    const bool for_all = kind == "loss" || !own.contains(kind);
    const double reference = for_all ? worst_recorded(dtype(), kind) : own[kind].get<double>();
    if (reference == 0) continue;  // hidden states and the loss of all tokens have the program's limits only
    EXPECT_LE(figure.error, kTimesTheReference * reference) << figure_line(figure);
  }
}

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const char* dtype : {"bf16", "fp16"})
    for (const char* model :
         {"llama_rope3", "llama_smol_tied", "qwen1", "qwen2_gqa_tied", "qwen2_mha", "qwen3_gqa_bf16"})
      names.push_back(std::string(dtype) + "/" + model);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenPrecision, testing::ValuesIn(cases()), test_name);

}  // namespace
}  // namespace ranktune
