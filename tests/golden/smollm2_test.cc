// The real SmolLM2-135M-Instruct, imported from its GGUF with fp32 weights, against transformers: hashes of
// the dequantised tensors, chat text and ids, loss, logits and greedy answers.

#include "golden/expect_figures.h"
#include "support/temp_dir.h"
#include "support/zst_file.h"
#include "verify/check_gguf.h"

namespace ranktune {
namespace {

TEST(GoldenSmolLm2, AnswersAsTheReference) {
  const TempDir work;
  const Path folder = work / "smollm2";
  make_folders(folder);
  for (const char* name : {"tensors.json", "generation.json"})
    write_file(folder / name, read_zst(golden_folder("smollm2") / (std::string(name) + ".zst")));
  Findings findings;
  check_gguf_folder(folder, {RANKTUNE_MODELS}, torch::kCPU, findings);
  for (const Figure& figure : findings.figures()) EXPECT_TRUE(figure.passed()) << figure_line(figure);
  EXPECT_EQ(findings.figures().size(), 11u);
}

TEST(GoldenSmolLm2, AnAbsentGgufFailsWithTheRemedy) {
  const TempDir work;
  write_file(work / "tensors.json", R"({"file": "none.gguf", "tensors": []})");
  Findings findings;
  check_gguf_folder(work.path(), {work.path()}, torch::kCPU, findings);
  ASSERT_EQ(findings.figures().size(), 1u);
  EXPECT_FALSE(findings.figures()[0].passed());
  EXPECT_NE(findings.figures()[0].note.find("--models"), std::string::npos) << findings.figures()[0].note;
}

}  // namespace
}  // namespace ranktune
