#include "config/check_config.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "config/option.h"

namespace ranktune {
namespace {

using Problems = std::vector<std::string>;

/// "a.toml:3:8" | "--set x=y" | "default" …: where a key got its value.
std::string origin(const LoadedConfig& config, std::string_view name) {
  const auto found = config.origins.find(name);
  return found == config.origins.end() ? "default" : found->second;
}

void find_missing(const LoadedConfig& config, Problems& problems) {
  std::vector<std::string> missing;
  for (const Option& option : options())
    if (option.required && is_off(option, config.values))
      missing.push_back(fmt::format("  {} ({})", option.name, option.meaning));
  if (!missing.empty())
    problems.push_back(
        fmt::format("missing from the configuration; put into the file or give with --set:\n{}",
                    fmt::join(missing, "\n")));
}

void find_without_effect(const LoadedConfig& config, Problems& problems) {
  for (const Option& option : options()) {
    const char* reason = option.unused == nullptr ? nullptr : option.unused(config.values);
    if (reason == nullptr || !config.origins.contains(option.name) || is_off(option, config.values)) continue;
    problems.push_back(fmt::format("{}: {} has no effect, because {}; remove one of the two",
                                   origin(config, option.name), option.name, reason));
  }
}

void find_bad_targets(const LoadedConfig& config, Problems& problems) {
  const LoraConfig& lora = config.values.lora;
  const auto is_whole = [](const std::string& item) {
    return item == "all-linear" || item == "auto" || item.starts_with("re:");
  };
  const auto check_alone = [&](const std::vector<std::string>& items, const char* key) {
    const auto found = std::find_if(items.begin(), items.end(), is_whole);
    if (items.size() > 1 && found != items.end())
      problems.push_back(fmt::format("{}: {} names {} and single modules; keep one or the other",
                                     origin(config, key), key, toml_string(*found)));
  };
  check_alone(lora.targets, "lora.targets");
  check_alone(lora.exclude_modules, "lora.exclude_modules");
  const std::string& first = lora.targets.empty() ? std::string() : lora.targets.front();
  if (!lora.layers_to_transform.empty() && first.starts_with("re:"))
    problems.push_back(fmt::format(
        "{}: lora.layers_to_transform does not go with a lora.targets that is an expression; let the "
        "expression name the layers",
        origin(config, "lora.layers_to_transform")));
}

void find_bad_start(const LoadedConfig& config, Problems& problems) {
  const LoraConfig& lora = config.values.lora;
  if (lora.dora && lora.init.starts_with("pissa"))
    problems.push_back(fmt::format(
        "{}: lora.init = {} does not go with lora.dora, because such an adapter could not be saved for the "
        "unchanged base model; choose one",
        origin(config, "lora.init"), toml_string(lora.init)));
}

void find_bad_lengths(const LoadedConfig& config, Problems& problems) {
  const TrainConfig& train = config.values.train;
  const std::int64_t warmup = config.values.schedule.warmup_steps;
  if (train.epochs == 0 && train.max_steps == 0)
    problems.push_back(
        fmt::format("{}: train.epochs and train.max_steps are both 0, so nothing would be trained; "
                    "give one of them",
                    origin(config, "train.epochs")));
  if (train.max_steps > 0 && warmup > train.max_steps)
    problems.push_back(
        fmt::format("{}: schedule.warmup_steps is {}, but train.max_steps ends the run after {}; "
                    "lower the first or raise the second",
                    origin(config, "schedule.warmup_steps"), warmup, train.max_steps));
}

void find_bad_loss_scale(const LoadedConfig& config, Problems& problems) {
  const LossScaleConfig& scale = config.values.loss_scale;
  const auto check = [&](const char* key, double value) {
    int exponent = 0;
    if (std::frexp(value, &exponent) != 0.5)
      problems.push_back(fmt::format(
          "{}: {} is {}, which is no power of two; scaling is exact only with one: use {:g} or {:g}",
          origin(config, key), key, value, std::ldexp(0.5, exponent), std::ldexp(1.0, exponent)));
  };
  check("loss_scale.initial", scale.initial);
  check("loss_scale.minimum", scale.minimum);
  if (scale.initial < scale.minimum)
    problems.push_back(
        fmt::format("{}: loss_scale.initial is {}, below loss_scale.minimum, which is {}; raise the first or "
                    "lower the second",
                    origin(config, "loss_scale.initial"), scale.initial, scale.minimum));
}

void find_clashing_paths(const LoadedConfig& config, Problems& problems) {
  const RunConfig& values = config.values;
  const auto same = [](const std::string& a, const std::string& b) {
    return !a.empty() && !b.empty() && (Path(a) / "").lexically_normal() == (Path(b) / "").lexically_normal();
  };
  if (same(values.run.dir, values.model.path))
    problems.push_back(
        fmt::format("{}: run.dir is the folder of model.path, {}; give the run a folder of its own",
                    origin(config, "run.dir"), toml_string(values.model.path)));
  if (same((Path(values.run.dir) / "adapter").string(), values.model.adapter))
    problems.push_back(
        fmt::format("{}: model.adapter is the folder that this run writes its adapter to; give "
                    "another run.dir",
                    origin(config, "model.adapter")));
  for (const std::string& held_out : values.data.validation)
    for (const std::string& trained : values.data.train)
      if (same(held_out, trained))
        problems.push_back(
            fmt::format("{}: data.validation has {}, which is trained on, so its loss would show "
                        "nothing; split the data with `ranktune prep`",
                        origin(config, "data.validation"), toml_string(held_out)));
}

}  // namespace

void check_config(const LoadedConfig& config) {
  Problems problems;
  find_missing(config, problems);
  find_without_effect(config, problems);
  find_bad_targets(config, problems);
  find_bad_start(config, problems);
  find_bad_lengths(config, problems);
  find_bad_loss_scale(config, problems);
  find_clashing_paths(config, problems);
  require(problems.empty(), "{}", fmt::join(problems, "\n"));
}

}  // namespace ranktune
