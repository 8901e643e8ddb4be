// Tokenizers with features the published ones lack (made by tests/data/tokenizers/make_small.py) against
// `tokenizers`.
#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "base/json.h"
#include "unit/text/model_folder.h"

namespace ranktune {
namespace {

using Ids = std::vector<std::int32_t>;

TEST(SmallTokenizers, IdsAreTheReferences) {
  const Path folder = Path(RANKTUNE_TEST_DATA) / "tokenizers" / "small";
  std::map<std::string, std::unique_ptr<const Tokenizer>> tokenizers;
  std::istringstream lines(read_zst(folder / "golden.jsonl.zst"));
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const Json row = parse_json(line, "golden");
    const std::string name = row["tokenizer"], text = row["text"];
    auto& tokenizer = tokenizers[name];
    if (!tokenizer) {
      const TempDir model;
      write_file(model / "tokenizer.json", read_zst(folder / (name + ".json.zst")));
      tokenizer = Tokenizer::load(model.path());
    }
    EXPECT_EQ(tokenizer->encode(text), row["ids"].get<Ids>()) << name << " " << row["text"];
    EXPECT_EQ(tokenizer->encode(text, SpecialTokens::kAsText), row["ids_plain"].get<Ids>())
        << name << " " << row["text"];
  }
  EXPECT_EQ(count, 640);
}

}  // namespace
}  // namespace ranktune
