#include "config/load_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/file.h"
#include "config/option.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

using ::testing::ElementsAre;

RunConfig set(const std::vector<std::string>& overrides) {
  return read_config(std::nullopt, overrides).values;
}

TEST(LoadConfig, TakesValuesOfEveryTypeFromAFile) {
  const RunConfig c = read_config_text(R"(
device = "cpu"
[data]
train = ["a.h5", "b.h5"]
validation = "v.h5"
[lora]
rank = 64
alpha = 16          # an integer where a number is asked for
targets = ["q_proj", "v_proj"]
rslora = true
[optimizer]
lr = 3e-4
betas = [0, 0.95]
)",
                                       "a.toml")
                          .values;
  EXPECT_EQ(c.device, "cpu");
  EXPECT_THAT(c.data.train, ElementsAre("a.h5", "b.h5"));
  EXPECT_THAT(c.data.validation, ElementsAre("v.h5"));
  EXPECT_EQ(c.lora.rank, 64);
  EXPECT_EQ(c.lora.alpha, 16.0);
  EXPECT_THAT(c.lora.targets, ElementsAre("q_proj", "v_proj"));
  EXPECT_TRUE(c.lora.rslora);
  EXPECT_EQ(c.optimizer.lr, 3e-4);
  EXPECT_THAT(c.optimizer.betas, ElementsAre(0.0, 0.95));
}

TEST(LoadConfig, TakesDottedKeysAndInlineTables) {
  const RunConfig c =
      read_config_text("lora.rank = 4\nzero = { stage = 2 }\nrun = { seed = 7 }\n", "a.toml").values;
  EXPECT_EQ(c.lora.rank, 4);
  EXPECT_EQ(c.run.seed, 7);
}

TEST(LoadConfig, AnOldNameIsRefusedWithTheNewOne) {
  expect_error([] { read_config_text("[checkpoint]\nbest = true\n", "a.toml", {}); },
               "a.toml:2:1: \"checkpoint.best\" is \"checkpoint.keep_best\" now", "an integer from 0");
  expect_error([] { set({"checkpoint.best=1"}); }, "--set checkpoint.best=1", "checkpoint.keep_best");
}

TEST(LoadConfig, KnowsWhereEachValueComesFrom) {
  const std::vector<std::string> overrides{"lora.alpha=32", "run.seed=1", "run.seed=2"};
  const LoadedConfig c = read_config_text("[run]\nseed = 3\n[lora]\nrank = 4\n", "dir/a.toml", overrides);
  EXPECT_THAT(c.origins, ElementsAre(std::pair("lora.alpha", "--set lora.alpha=32"),
                                     std::pair("lora.rank", "dir/a.toml:4:8"),
                                     std::pair("run.seed", "--set run.seed=2")));
  EXPECT_EQ(c.values.run.seed, 2);
  EXPECT_EQ(c.values.lora.rank, 4);
  EXPECT_EQ(c.values.lora.alpha, 32);
}

TEST(LoadConfig, OverridesTakeBareText) {
  EXPECT_EQ(set({"model.dtype=fp32"}).model.dtype, "fp32");
  EXPECT_EQ(set({"run.dir=runs/2024 a=b"}).run.dir, "runs/2024 a=b");
  EXPECT_EQ(set({"run.dir=2024"}).run.dir, "2024");
  EXPECT_EQ(set({"run.dir=true"}).run.dir, "true");
  EXPECT_EQ(set({"run.dir=C:\\x\"y"}).run.dir, "C:\\x\"y");
  EXPECT_EQ(set({"run.dir=模型/一"}).run.dir, "模型/一");
  EXPECT_EQ(set({"run.dir=\"quoted \\u4e2d\""}).run.dir, "quoted 中");
  EXPECT_EQ(set({" run.dir = spaced "}).run.dir, "spaced");
  EXPECT_EQ(set({"model.adapter=x", "model.adapter="}).model.adapter, "");
}

TEST(LoadConfig, OverridesTakeListsWithAndWithoutBrackets) {
  EXPECT_THAT(set({"lora.targets=q_proj, v_proj"}).lora.targets, ElementsAre("q_proj", "v_proj"));
  EXPECT_THAT(set({"lora.targets=[\"a\", 'b']"}).lora.targets, ElementsAre("a", "b"));
  EXPECT_THAT(set({"data.train=one,file.h5"}).data.train, ElementsAre("one", "file.h5"));
  EXPECT_THAT(set({"data.train=\"one,file.h5\""}).data.train, ElementsAre("one,file.h5"));
  EXPECT_THAT(set({"data.validation=v.h5", "data.validation="}).data.validation, ElementsAre());
  EXPECT_THAT(set({"optimizer.betas=[0.8, 0.9]"}).optimizer.betas, ElementsAre(0.8, 0.9));
}

TEST(LoadConfig, OverridesAreCheckedLikeTheFile) {
  expect_error([] { set({"lora.rnk=4"}); }, "--set lora.rnk=4: ", "did you mean \"lora.rank\"?");
  expect_error([] { set({"lora.rank=eight"}); }, "--set lora.rank=eight: ", "the string \"eight\"",
               "rank = 8");
  expect_error([] { set({"lora.rank="}); }, "--set lora.rank=: ", "an integer from 1");
  expect_error([] { set({"lora.rank=-1"}); }, "lora.rank is -1", "from 1 to 65536");
  expect_error([] { set({"schedule.kind=cosin"}); }, "one of \"constant\"", "did you mean \"cosine\"?");
  expect_error([] { set({"lora={rank=4}"}); }, "lora is a section", "lora.rank = 8");
  expect_error([] { set({"lora.targets=[q_proj]"}); }, "--set lora.targets=[q_proj]", "not valid TOML",
               "quotes");
  expect_error([] { set({"lora.targets=a,,b"}); }, "lora.targets", "empty string");
  expect_error([] { set({"run.dir="}); }, "run.dir must not be empty");
  expect_error([] { set({"run.dir=\xff"}); }, "--set run.dir=", "not valid TOML");
  expect_error([] { set({"lora.rank=8\nlora.alpha=1"}); }, "\\u000A", "line break", "remove it");
}

TEST(LoadConfig, OverrideWithoutEqualsSignIsAUsageError) {
  try {
    set({"lora.rank"});
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(),
                ::testing::HasSubstr("--set lora.rank: there is no \"=\"; write --set key=value"));
  }
}

TEST(LoadConfig, EveryOptionCanBeSet) {
  const RunConfig defaults;
  for (const Option& option : options()) {
    if (option.required && is_off(option, defaults)) continue;  // their default is "missing"
    const LoadedConfig c =
        read_config(std::nullopt, std::vector{option.name + "=" + option_value(option, defaults)});
    EXPECT_EQ(option_value(option, c.values), option_value(option, defaults)) << option.name;
    EXPECT_TRUE(c.origins.contains(option.name));
  }
}

TEST(LoadConfig, ReadsAFileFromDisk) {
  const TempDir folder;
  write_file(folder / "a.toml", "\xef\xbb\xbf[lora]\r\nrank = 4\r\n");  // byte order mark and DOS line ends
  EXPECT_EQ(read_config(folder / "a.toml").values.lora.rank, 4);
  expect_error([&] { read_config(folder / "none.toml"); }, "none.toml", "No such file");
  expect_error([&] { read_config(folder.path()); }, "is not a regular file");
  write_file(folder / "huge.toml", std::string((1 << 20) + 1, '#'));
  expect_error([&] { read_config(folder / "huge.toml"); }, "huge.toml holds 1048577 bytes");
}

TEST(LoadConfig, NoFileAndEmptyFileGiveTheDefaults) {
  for (const LoadedConfig& c : {read_config(std::nullopt), read_config_text("", "a.toml")}) {
    EXPECT_TRUE(c.origins.empty());
    EXPECT_EQ(c.values.lora.rank, 8);
    EXPECT_EQ(c.values.reduce, "exact");
    EXPECT_EQ(c.values.zero.stage, 2);
  }
}

TEST(Options, AreWellFormed) {
  std::string previous_section;
  std::set<std::string> seen_sections, names;
  for (const Option& option : options()) {
    EXPECT_TRUE(names.insert(option.name).second) << option.name << " is declared twice";
    EXPECT_FALSE(option.meaning.empty()) << option.name;
    EXPECT_EQ(option.meaning.find('\n'), std::string::npos) << option.name;
    const std::string section(option.section());
    if (section != previous_section) {
      EXPECT_TRUE(seen_sections.insert(section).second)
          << section << " is in two places, so printing repeats it";
    }
    previous_section = section;
  }
  EXPECT_EQ(options().front().section(), "") << "TOML wants keys without a section first";
}

TEST(Options, HaveTheNamesThatScriptsRelyOn) {
  for (const char* name : {"run.dir",
                           "run.seed",
                           "model.path",
                           "model.dtype",
                           "data.train",
                           "data.validation",
                           "train.epochs",
                           "train.max_steps",
                           "batch.tokens_per_slot",
                           "batch.sequences_per_step",
                           "lora.rank",
                           "lora.alpha",
                           "lora.dropout",
                           "lora.targets",
                           "optimizer.lr",
                           "optimizer.weight_decay",
                           "optimizer.betas",
                           "schedule.kind",
                           "schedule.warmup_ratio",
                           "zero.stage",
                           "reduce",
                           "checkpoint.every",
                           "checkpoint.keep",
                           "checkpoint.keep_best",
                           "comm.timeout",
                           "device"})
    EXPECT_THAT(option_names(), ::testing::Contains(name));
}

TEST(TomlString, EscapesWhatTomlForbids) {
  EXPECT_EQ(toml_string("a\"b\\c\n\x7f中"), "\"a\\\"b\\\\c\\u000A\\u007F中\"");
}

}  // namespace
}  // namespace ranktune
