#include "config/check_config.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace ranktune {
namespace {

/// Checks a file that holds the required keys, then `text`.
void check(const std::string& text, const std::vector<std::string>& overrides = {}) {
  const std::string required = "run.dir = \"r\"\nmodel.path = \"m\"\ndata.train = \"t.h5\"\n";
  check_config(read_config_text(required + text, "run.toml", overrides));
}

TEST(CheckConfig, AcceptsTheRequiredKeysAlone) { EXPECT_NO_THROW(check("")); }

TEST(CheckConfig, NamesAllMissingKeysAtOnce) {
  expect_error([] { load_config(std::nullopt); }, "missing", "run.dir (", "model.path (", "data.train (",
               "--set");
  expect_error([] { check_config(read_config_text("run.dir = \"r\"\nmodel.path = \"m\"\n", "a.toml")); },
               "data.train");
}

TEST(CheckConfig, RefusesLoraKeysInAFullFineTuning) {
  EXPECT_NO_THROW(check("train.method = \"full\"\n"));
  EXPECT_NO_THROW(check("train.method = \"full\"\nlora.dropout = 0\n")) << "asks for nothing";
  expect_error([] { check("train.method = \"full\"\nlora.rank = 4\nlora.alpha = 8\n"); },
               "run.toml:5:13: lora.rank has no effect, because train.method is \"full\"; remove",
               "run.toml:6:14: lora.alpha has no effect");
  expect_error([] { check("lora.rank = 4\n", {"train.method=full"}); },
               "run.toml:4:13: lora.rank has no effect");
}

TEST(CheckConfig, RefusesTwoKindsOfWarmUp) {
  EXPECT_NO_THROW(check("schedule.warmup_steps = 5\n")) << "the ratio's default gives way";
  EXPECT_NO_THROW(check("schedule.warmup_steps = 5\nschedule.warmup_ratio = 0\n"));
  expect_error([] { check("schedule.warmup_steps = 5\nschedule.warmup_ratio = 0.1\n"); },
               "run.toml:5:25: schedule.warmup_ratio has no effect, because schedule.warmup_steps is set");
}

TEST(CheckConfig, RefusesValidationKeysWithoutValidationData) {
  expect_error([] { check("train.validate_every = 10\n"); }, "run.toml:4:24: train.validate_every",
               "data.validation is not set");
  expect_error([] { check("", {"checkpoint.keep_best=2"}); },
               "--set checkpoint.keep_best=2: checkpoint.keep_best has no effect");
  EXPECT_NO_THROW(check("train.validate_every = 10\ndata.validation = \"v.h5\"\ncheckpoint.keep_best = 2\n"));
}

TEST(CheckConfig, LossScalesArePowersOfTwo) {
  EXPECT_NO_THROW(check("model.dtype = \"fp16\"\nloss_scale.initial = 0.25\nloss_scale.minimum = 0.125\n"));
  expect_error([] { check("model.dtype = \"fp16\"\nloss_scale.initial = 1000\n"); },
               "run.toml:5:22: loss_scale.initial is 1000, which is no power of two", "use 512 or 1024");
  expect_error([] { check("model.dtype = \"fp16\"\nloss_scale.initial = 2\nloss_scale.minimum = 4\n"); },
               "run.toml:5:22: loss_scale.initial is 2, below loss_scale.minimum, which is 4");
  expect_error([] { check("loss_scale.initial = 2\n"); }, "run.toml:4:22: loss_scale.initial has no effect",
               "model.dtype is not \"fp16\"");
}

TEST(CheckConfig, RefusesARunOfNoLength) {
  EXPECT_NO_THROW(check("train.epochs = 0\ntrain.max_steps = 5\n"));
  expect_error([] { check("train.epochs = 0\n"); },
               "run.toml:4:16: train.epochs and train.max_steps are both 0");
}

TEST(CheckConfig, RefusesAWarmUpBeyondTheEnd) {
  EXPECT_NO_THROW(check("train.max_steps = 5\nschedule.warmup_steps = 5\n"));
  expect_error([] { check("train.max_steps = 5\nschedule.warmup_steps = 6\n"); },
               "run.toml:5:25: schedule.warmup_steps is 6", "ends the run after 5", "lower");
}

TEST(CheckConfig, RefusesAllLinearBesideSingleLayers) {
  expect_error([] { check("lora.targets = [\"q_proj\", \"all-linear\"]\n"); }, "run.toml:4:16: lora.targets",
               "keep one");
}

TEST(CheckConfig, RefusesTargetsThatContradictThemselves) {
  expect_error([] { check("lora.targets = [\"auto\", \"w1\"]\n"); }, "run.toml:4:16: lora.targets",
               "\"auto\"");
  expect_error([] { check("lora.exclude_modules = [\"re:.*\", \"w1\"]\n"); }, "lora.exclude_modules",
               "keep one");
  expect_error([] { check("lora.targets = \"re:.*q_proj\"\nlora.layers_to_transform = [1]\n"); },
               "run.toml:5:28: lora.layers_to_transform", "expression");
  expect_error([] { check("lora.dora = true\nlora.init = \"pissa\"\n"); }, "run.toml:5:13: lora.init",
               "lora.dora");
}

TEST(CheckConfig, RefusesAFinalDecayThatNeverComes) {
  expect_error([] { check("schedule.kind = \"constant\"\nschedule.min_lr_ratio = 0.1\n"); },
               "run.toml:5:25: schedule.min_lr_ratio has no effect, because schedule.kind is \"constant\"");
}

TEST(CheckConfig, RefusesClashingFolders) {
  expect_error([] { check("", {"run.dir=./m/"}); },
               "--set run.dir=./m/: run.dir is the folder of model.path");
  expect_error([] { check("model.adapter = \"r/adapter\"\n"); }, "run.toml:4:17: model.adapter",
               "another run.dir");
  expect_error([] { check("data.validation = [\"v.h5\", \"./t.h5\"]\n"); }, "run.toml:4:19: data.validation",
               "trained on", "ranktune prep");
}

TEST(CheckConfig, NamesAllProblemsAtOnce) {
  expect_error([] { check("train.epochs = 0\ntrain.method = \"full\"\nlora.rank = 4\n", {"run.dir=m"}); },
               "both 0", "lora.rank has no effect", "folder of model.path");
}

}  // namespace
}  // namespace ranktune
