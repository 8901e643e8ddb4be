// What `ranktune verify` finds in a folder, and that a wrong number, an unknown variant or a number it does
// not understand is a failure.

#include "verify/verify.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <span>

#include "base/error.h"
#include "base/json.h"
#include "golden/expect_figures.h"
#include "storage/safetensors_writer.h"
#include "support/expect_error.h"
#include "support/lone_communicator.h"
#include "support/temp_dir.h"
#include "support/zst_file.h"
#include "verify/check_text.h"

namespace ranktune {
namespace {

namespace fs = std::filesystem;

class VerifyTest : public testing::Test {
 protected:
  /// A copy of the smallest recorded model that may be changed.
  VerifyTest() { fs::copy(golden_folder("qwen2_gqa_tied"), model(), fs::copy_options::recursive); }
  Path model() const { return folder_ / "small"; }

  Findings run() {
    LoneCommunicator alone;
    Findings findings;
    verify_model(model(), torch::kFloat32, {alone, alone, torch::kCPU}, findings);
    return findings;
  }

  /// Rewrites golden.safetensors with that tensor's first entry moved by `share` of itself (of 1 where it is
  /// smaller), and with another name where one is given.
  void change_tensor(const std::string& name, double share, const std::string& new_name = {}) {
    const std::string bytes = read_file(model() / "golden.safetensors");
    const SafetensorsFile file(std::as_bytes(std::span(bytes)), "golden");
    const TensorInfo& found = file.get(name);
    std::string changed(reinterpret_cast<const char*>(found.data.data()), found.data.size());
    const auto move_first = [&](auto first) {
      std::memcpy(&first, changed.data(), sizeof first);
      first += static_cast<decltype(first)>(share * std::max(1.0, std::fabs(static_cast<double>(first))));
      std::memcpy(changed.data(), &first, sizeof first);
    };
    if (found.dtype == DType::kF64)
      move_first(0.0);
    else
      move_first(0.0f);
    std::vector<TensorInfo> tensors = file.tensors();
    for (TensorInfo& tensor : tensors)
      if (tensor.name == name) {
        tensor.data = std::as_bytes(std::span(changed));
        if (!new_name.empty()) tensor.name = new_name;
      }
    write_safetensors(model() / "golden.safetensors", tensors);
  }

  static std::string failures(const Findings& findings) {
    std::string text;
    for (const Figure& figure : findings.figures())
      if (!figure.passed()) text += figure_line(figure) + "\n";
    return text;
  }

  TempDir folder_;
};

TEST_F(VerifyTest, AnUntouchedModelPassesEverywhere) {
  const Findings findings = run();
  EXPECT_EQ(failures(findings), "");
  EXPECT_GE(findings.figures().size(), 40u);
}

TEST_F(VerifyTest, EveryKindOfNumberIsReallyCompared) {
  // A tensor whose first entry is moved by a hundredth, and the figure that must fail for it.
  const std::vector<std::array<std::string, 2>> cases{
      {"main.loss", "loss"},
      {"main.loss_all_tokens", "loss_all_tokens"},
      {"main.logits", "logits"},
      {"main.hidden_states", "hidden_states"},
      {"gen.1.last_logits", "gen.1 cached, last logits"},
      {"lora.loss", "loss"},
      {"lora.train.loss", "train.loss"},
      {"lora.train.grad_norm", "train.grad_norm"},
      {"full.train.micro_mean_loss", "train.micro_mean_loss"},
      {"full.train.final_logits", "train.final_logits"},
  };
  const std::string original = read_file(model() / "golden.safetensors");
  for (const auto& [tensor, what] : cases) {
    change_tensor(tensor, 0.01);
    const std::string text = failures(run());
    EXPECT_NE(text.find(what), text.npos) << tensor << ":\n" << text;
    write_file(model() / "golden.safetensors", original);
  }
}

TEST_F(VerifyTest, In16BitsAWrongNumberFailsToo) {
  const auto failures_in = [&](torch::ScalarType dtype) {
    LoneCommunicator alone;
    Findings findings;
    verify_model(model(), dtype, {alone, alone, torch::kCPU}, findings);
    EXPECT_GE(findings.figures().size(), 8u);
    return failures(findings);
  };
  EXPECT_EQ(failures_in(torch::kBFloat16), "");
  EXPECT_EQ(failures_in(torch::kFloat16), "");
  change_tensor("lora.logits", 3);
  EXPECT_NE(failures_in(torch::kBFloat16).find("logits"), std::string::npos);
  EXPECT_NE(failures_in(torch::kFloat16).find("logits"), std::string::npos);
}

TEST_F(VerifyTest, AnUnknownVariantFailsAndSaysWhy) {
  const Path adapter = model() / "adapters" / "lora" / "adapter_config.json";
  Json config = read_json_file(adapter);
  config["peft_type"] = "LOHA";
  write_file(adapter, config.dump());
  const Findings findings = run();
  EXPECT_EQ(findings.failed(), 1u);
  EXPECT_NE(failures(findings).find("LOHA"), std::string::npos) << failures(findings);
}

TEST_F(VerifyTest, AVariantWithoutItsFolderFails) {
  fs::remove_all(model() / "adapters" / "lora");
  const Findings findings = run();
  EXPECT_EQ(findings.failed(), 1u);
  EXPECT_NE(failures(findings).find("small/lora"), std::string::npos) << failures(findings);
}

TEST_F(VerifyTest, ATensorThatIsNotUnderstoodFails) {
  change_tensor("main.loss_all_tokens", 0, "main.perplexity");
  const std::string text = failures(run());
  EXPECT_NE(text.find("main.perplexity"), text.npos) << text;
}

TEST_F(VerifyTest, OptionalPartsMayBeAbsent) {
  fs::remove(model() / "meta.json");  // the settings of the format's description then apply
  fs::remove_all(model() / "full_trained");
  fs::remove_all(model() / "adapters" / "lora_trained");
  const std::string text = failures(run());
  // Trained parameters are announced by the recorded losses; nothing else may be missed. meta.json held the
  // variants' limits of the gradient norm, so the trajectory of "lora" is another one without it.
  EXPECT_NE(text.find("lora_trained is missing"), text.npos) << text;
  EXPECT_NE(text.find("full_trained is missing"), text.npos) << text;
  EXPECT_EQ(text.find("small "), text.npos) << text;
}

TEST_F(VerifyTest, RecordsAreFoundWhereverTheyLie) {
  const Path other = folder_ / "deep/down/tokenizers";
  make_folders(other);
  write_file(other / "x.jsonl", "{}\n");
  EXPECT_TRUE(find_records({folder_.path()}).models == std::vector<Path>{model()});
  EXPECT_TRUE(find_records({folder_.path()}).texts == std::vector<Path>{other / "x.jsonl"});
  EXPECT_TRUE(find_records({Path(model().string() + "/")}).models == std::vector<Path>{model()});
  EXPECT_EQ(find_records({model() / "model"}).count(), 0u);
  expect_error([&] { find_records({folder_ / "nowhere"}); }, "does not exist");
}

TEST_F(VerifyTest, TextsAreComparedLineByLine) {
  const std::string tokenizer =
      read_zst(Path(RANKTUNE_TEST_DATA) / "tokenizers" / "smollm2" / "tokenizer.json.zst");
  const std::string lines =
      read_zst(Path(RANKTUNE_TEST_DATA) / "tokenizers" / "smollm2" / "golden.jsonl.zst");
  make_folders(folder_ / "vocabularies/smollm2");
  make_folders(folder_ / "tokenizers");
  write_file(folder_ / "vocabularies/smollm2/tokenizer.json", tokenizer);
  const Path file = folder_ / "tokenizers/smollm2.jsonl";
  write_file(file, lines);
  Findings good, bad, lost, odd;
  check_text_file(file, {folder_ / "vocabularies"}, good);
  EXPECT_EQ(failures(good), "");
  EXPECT_EQ(good.figures().size(), 3u);
  Json row = Json::parse(lines.substr(0, lines.find('\n')));
  row["ids"].push_back(5);
  write_file(file, row.dump() + "\n" + lines);
  check_text_file(file, {folder_ / "vocabularies"}, bad);
  EXPECT_NE(failures(bad).find("line 1"), std::string::npos) << failures(bad);
  check_text_file(file, {folder_ / "elsewhere"}, lost);
  EXPECT_NE(failures(lost).find("--tokenizers"), std::string::npos) << failures(lost);
  write_file(file, "{\"question\": 1}\n");
  check_text_file(file, {folder_ / "vocabularies"}, odd);
  EXPECT_EQ(odd.failed(), 1u);
}

TEST(Figure, NanAndLargerErrorsDoNotPass) {
  EXPECT_FALSE((Figure{"a", "b", std::nan(""), 1.0}.passed()));
  EXPECT_FALSE((Figure{"a", "b", 1.1, 1.0}.passed()));
  EXPECT_TRUE((Figure{"a", "b", 0.0, 0.0}.passed()));
  Worst worst;
  worst.add(0.1, "first");
  worst.add(std::nan(""), "second");
  worst.add(0.2, "third");
  EXPECT_EQ(worst.where(), "second");
  EXPECT_FALSE((Figure{"a", "b", worst.error(), 1.0}.passed()));
}

}  // namespace
}  // namespace ranktune
