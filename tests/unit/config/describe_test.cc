#include "config/describe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "config/check_config.h"
#include "config/option.h"
#include "support/expect_error.h"

namespace ranktune {
namespace {

using ::testing::HasSubstr;

const std::string kFile = R"(
run.dir = "runs/\"x\""
model.path = "m"
data.train = ["a.h5", "b.h5"]
optimizer.lr = 1e-4
optimizer.betas = [0.9, 0.95]
lora.alpha = 16
)";

LoadedConfig sample(const std::vector<std::string>& overrides = {}) {
  return read_config_text(kFile, "run.toml", overrides);
}

TEST(Describe, ShowsEveryKeyWithValueOriginAndMeaning) {
  const std::string text = describe(sample({"lora.rank=4"}));
  for (const Option& option : options()) {
    EXPECT_THAT(text, HasSubstr("# " + option.meaning + " ("));
    EXPECT_THAT(text, HasSubstr(std::string(option.key()) + " = "));
  }
  EXPECT_THAT(text, HasSubstr("\nrank = 4  # --set lora.rank=4\n"));
  EXPECT_THAT(text, HasSubstr("\nlr = 0.0001  # run.toml:5:16\n"));
  EXPECT_THAT(text, HasSubstr("\nalpha = 16.0  # run.toml:7:14\n"));
  EXPECT_THAT(text, HasSubstr("\nseed = 42  # default\n"));
  EXPECT_THAT(text, HasSubstr("(an integer from 1 to 65536)\nrank"));
}

TEST(Describe, ReadsBackToTheSameConfiguration) {
  const std::vector<std::vector<std::string>> variants{
      {},
      {"train.method=full"},
      {"schedule.warmup_steps=7", "train.max_steps=70"},
      {"data.validation=v.h5", "train.validate_every=5", "model.adapter=old"},
      {"schedule.kind=constant", "lora.targets=q_proj,v_proj", "optimizer.eps=1e-30", "optimizer.lr=0.1"},
      {"lora.rank_pattern={\"self_attn.q_proj\" = 3, 'a\"b' = 4}",
       "lora.alpha_pattern={q_proj = 0.5, v_proj = 2}", "lora.layers_to_transform=[3, 1]",
       "lora.exclude_modules=re:.*\\.1\\..*", "lora.init=pissa_niter_4"},
      {"run.dir=a\\b\"c#d 中", "run.seed=9007199254740992", "train.epochs=0.1", "lora.dropout=0.3"},
  };
  for (const auto& overrides : variants) {
    LoadedConfig first = sample();
    if (!overrides.empty() &&
        overrides.front() == "train.method=full")  // lora.alpha would have no effect beside it
      first = read_config_text("run.dir = \"r\"\nmodel.path = \"m\"\ndata.train = \"t\"\n", "run.toml",
                               overrides);
    else
      first = sample(overrides);
    check_config(first);
    const std::string text = describe(first);
    const LoadedConfig second = read_config_text(text, "printed.toml");
    check_config(second);
    EXPECT_TRUE(diff_configs(first.values, second.values).empty()) << text;
    EXPECT_EQ(config_hash(first.values), config_hash(second.values));
    EXPECT_EQ(to_json(first.values), to_json(second.values));
  }
}

TEST(Describe, ShowsAnIncompleteConfigurationToo) {
  const std::string text = describe(read_config(std::nullopt));
  EXPECT_THAT(text, HasSubstr("\n# path = \"\"  # missing: it must be given\n"));
  EXPECT_NO_THROW(read_config_text(text, "printed.toml"));
}

TEST(Describe, CommentsOutKeysWithoutEffect) {
  const std::string text = describe(sample({"schedule.warmup_steps=3"}));
  EXPECT_THAT(
      text,
      HasSubstr("\n# warmup_ratio = 0.03  # default; no effect, because schedule.warmup_steps is set\n"));
}

TEST(Describe, SurvivesOddFileNames) {
  LoadedConfig config = sample();
  config.origins["run.seed"] = "bad\xff\nrank = 1:3:4";
  EXPECT_EQ(read_config_text(describe(config), "printed.toml").values.lora.rank, 8);
}

TEST(ConfigHash, IgnoresOrderSpellingAndKeysThatChangeNothing) {
  const std::string hash = config_hash(sample().values);
  const RunConfig other_order = read_config_text(R"(
[optimizer]
betas = [0.90, 0.95]
lr = 0.00010
[lora]
alpha = 16.0
[data]
train = ["a.h5", "b.h5"]
[model]
path = 'm'
[run]
dir = "elsewhere"
)",
                                                 "b.toml")
                                    .values;
  EXPECT_EQ(config_hash(other_order), hash);
  for (const char* harmless :
       {"comm.timeout=5", "checkpoint.every=1", "checkpoint.keep=9", "run.dir=z", "device=cpu",
        "train.threads=3", "train.log_every=7", "data.validation=v.h5", "model.read=rank0"})
    EXPECT_EQ(config_hash(sample({harmless}).values), hash) << harmless;
}

TEST(ConfigHash, ChangesWithEveryKeyThatChangesTheResult) {
  std::set<std::string> hashes{config_hash(sample().values)};
  const std::vector<std::string> changes{"reduce=fp32",
                                         "run.seed=43",
                                         "model.path=n",
                                         "model.dtype=fp32",
                                         "model.adapter=x",
                                         "data.train=a.h5",
                                         "data.template=chatml",
                                         "batch.tokens_per_slot=512",
                                         "train.epochs=4",
                                         "train.max_steps=9",
                                         "lora.rank=9",
                                         "batch.sequences_per_step=3",
                                         "lora.alpha=8",
                                         "lora.dropout=0.1",
                                         "lora.targets=w1",
                                         "lora.rslora=true",
                                         "lora.exclude_modules=o_proj",
                                         "lora.layers_to_transform=[0, 2]",
                                         "lora.rank_pattern={q_proj = 3}",
                                         "lora.alpha_pattern={q_proj = 3}",
                                         "lora.dora=true",
                                         "lora.init=pissa",
                                         "lora.plus_ratio=16",
                                         "optimizer.lr=2e-4",
                                         "optimizer.eps=1e-7",
                                         "optimizer.betas=[0, 0]",
                                         "optimizer.weight_decay=0.1",
                                         "schedule.kind=linear",
                                         "schedule.warmup_ratio=0",
                                         "schedule.warmup_steps=1",
                                         "optimizer.max_grad_norm=2",
                                         "train.method=full",
                                         "schedule.min_lr_ratio=0.1",
                                         "lora.modules_to_save=lm_head",
                                         "lora.trainable_tokens=x",
                                         "lora.trainable_token_indices=[3]"};
  // Keys that have an effect beside another only.
  const std::vector<std::pair<std::string, std::string>> changes_beside{
      {"lora.modules_to_save=norm", "lora.ensure_weight_tying=true"},
      {"lora.trainable_tokens=y", "lora.trainable_token_modules=lm_head"},
      {"model.dtype=fp16", "loss_scale.initial=1024"},
      {"model.dtype=fp16", "loss_scale.growth_interval=100"}};
  for (const std::string& change : changes)
    EXPECT_TRUE(hashes.insert(config_hash(sample({change}).values)).second) << change;
  for (const auto& [other, change] : changes_beside) {
    hashes.insert(config_hash(sample({other}).values));
    EXPECT_TRUE(hashes.insert(config_hash(sample({other, change}).values)).second) << change;
  }
  std::size_t affecting = 0;
  for (const Option& option : options()) affecting += option.affects_result ? 1 : 0;
  EXPECT_EQ(changes.size() + changes_beside.size(), affecting)
      << "a key was added: say here whether it changes the result";
}

TEST(DiffConfigs, NamesChangedKeysWithBothValues) {
  const auto changes = diff_configs(sample().values, sample({"lora.rank=16", "comm.timeout=5"}).values);
  ASSERT_EQ(changes.size(), 2U);
  EXPECT_EQ(changes[0].name, "lora.rank");
  EXPECT_EQ(changes[0].before, "8");
  EXPECT_EQ(changes[0].after, "16");
  EXPECT_TRUE(changes[0].affects_result);
  EXPECT_EQ(changes[1].name, "comm.timeout");
  EXPECT_FALSE(changes[1].affects_result);
}

TEST(RequireSameResult, RefusesOnlyChangesOfTheResult) {
  EXPECT_NO_THROW(
      require_same_result(sample().values, sample({"comm.timeout=5", "run.dir=y"}).values, "step-000120"));
  expect_error(
      [] {
        require_same_result(sample().values, sample({"optimizer.lr=2e-4", "lora.rank=16"}).values,
                            "step-000120");
      },
      "step-000120: ", "optimizer.lr: was 0.0001, is now 0.0002", "lora.rank: was 8, is now 16",
      "another run.dir");
}

TEST(ConfigJson, RoundTripsThroughText) {
  const RunConfig config =
      sample({"optimizer.lr=0.1", "run.seed=9007199254740992", "train.recompute=true"}).values;
  const RunConfig back = config_from_json(parse_json(to_json(config).dump(), "x"), "trainer.json");
  EXPECT_TRUE(diff_configs(config, back).empty());
  EXPECT_EQ(to_json(config).begin().key(), "device") << "keeps the table's order";
}

TEST(ConfigJson, ReadsWhatAnEarlierVersionSaved) {
  const auto kept = [](const char* text) {
    return config_from_json(parse_json(text, "x"), "trainer.json").checkpoint.keep_best;
  };
  EXPECT_EQ(kept(R"({"checkpoint.best": true})"), 1);
  EXPECT_EQ(kept(R"({"checkpoint.best": false})"), 0);
  expect_error([&] { kept(R"({"checkpoint.best": "yes"})"); }, "trainer.json: checkpoint.keep_best");
}

TEST(ConfigJson, ChecksWhatItReads) {
  const auto read = [](const char* text) { return config_from_json(parse_json(text, "x"), "trainer.json"); };
  EXPECT_EQ(read("{}").lora.rank, 8);
  expect_error([&] { read("[]"); }, "trainer.json: ", "not a JSON object");
  expect_error([&] { read(R"({"lora.rnk": 1})"); }, "trainer.json: unknown key \"lora.rnk\"",
               "\"lora.rank\"");
  expect_error([&] { read(R"({"lora.rank": 0})"); }, "trainer.json: lora.rank is 0", "from 1");
  expect_error([&] { read(R"({"lora.rank": null})"); }, "trainer.json: lora.rank must be an integer", "null");
  expect_error([&] { read(R"({"run.seed": 18446744073709551615})"); }, "trainer.json: run.seed");
}

}  // namespace
}  // namespace ranktune
