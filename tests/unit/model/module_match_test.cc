#include "model/module_match.h"

#include <gtest/gtest.h>

#include <fstream>

#include "model/adapter_config.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

/// What PEFT finds, by tests/data/model/make_module_match.py.
TEST(ModuleMatch, FindsWhatPeftFinds) {
  const Path file = Path(RANKTUNE_TEST_DATA) / "model" / "module_match.json";
  const OrderedJson cases = OrderedJson::parse(read_file(file));
  ASSERT_GE(cases.size(), 20U);
  for (const OrderedJson& one : cases) {
    OrderedJson config = one["config"];
    config["peft_type"] = "LORA";
    config["r"] = 8;
    config["lora_alpha"] = 16;
    const TempDir folder;
    write_file(folder.path() / "adapter_config.json", config.dump());
    const LoraOptions options = read_adapter_config(folder.path());
    for (const OrderedJson& module : one["modules"]) {
      const auto name = module.get<std::string>();
      ASSERT_EQ(is_target(options, name), one["expected"].contains(name)) << name << " by " << config;
      if (!one["expected"].contains(name)) continue;
      EXPECT_EQ(rank_of(options, name), one["expected"][name][0].get<std::int64_t>()) << name << config;
      EXPECT_EQ(alpha_of(options, name), one["expected"][name][1].get<double>()) << name << config;
    }
  }
}

TEST(ParseSelection, TellsNamesFromAnExpression) {
  EXPECT_EQ(parse_selection({"q_proj", "v_proj"}).names, (std::vector<std::string>{"q_proj", "v_proj"}));
  EXPECT_EQ(parse_selection({R"(re:.*\.q_proj)"}).regex, R"(.*\.q_proj)");
  EXPECT_TRUE(parse_selection({}).empty());
  expect_error([] { parse_selection({"re:(q_proj"}); }, "(q_proj", "is not a regular expression");
  expect_error([] { parse_selection({"re:"}); }, "no expression");
  expect_error([] { parse_selection({"q_proj", "re:.*"}); }, "must stand alone");
}

}  // namespace
}  // namespace ranktune
