#include "model/adapter_config.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

LoraOptions read(const OrderedJson& json) {
  const TempDir folder;
  write_file(folder.path() / "adapter_config.json", json.dump());
  return read_adapter_config(folder.path());
}

/// A config as PEFT writes it, with one key changed.
OrderedJson changed(const char* key, const OrderedJson& value) {
  const Path file =
      Path(RANKTUNE_TEST_DATA) / "golden" / "qwen2_mha" / "adapters" / "dora" / "adapter_config.json";
  OrderedJson json = OrderedJson::parse(read_file(file));
  json[key] = value;
  return json;
}

TEST(AdapterConfig, ReadsWhatItWrites) {
  LoraOptions options;
  options.rank = 3;
  options.alpha = 7.5;
  options.dropout = 0.25;
  options.targets.names = {"q_proj", "up_proj"};
  options.exclude.regex = R"(.*\.1\..*)";
  options.layers_to_transform = {0, 2};
  options.layers_pattern = {"layers"};
  options.use_rslora = true;
  options.use_dora = true;
  options.rank_pattern = {{"up_proj", 5}, {"layers.0.self_attn.q_proj", 2}};
  options.alpha_pattern = {{"q_proj", 0.5}};
  options.modules_to_save = {"norm", "lm_head"};
  options.trainable_token_indices = {{"lm_head", {7, 3}}, {"embed_tokens", {5}}};
  options.ensure_weight_tying = true;
  const LoraOptions back = read(adapter_config(options, "base"));
  EXPECT_EQ(back.rank, options.rank);
  EXPECT_EQ(back.alpha, options.alpha);
  EXPECT_EQ(back.dropout, options.dropout);
  EXPECT_EQ(back.targets.names, options.targets.names);
  EXPECT_EQ(back.exclude.regex, options.exclude.regex);
  EXPECT_EQ(back.layers_to_transform, options.layers_to_transform);
  EXPECT_EQ(back.layers_pattern, options.layers_pattern);
  EXPECT_TRUE(back.use_rslora && back.use_dora);
  EXPECT_EQ(back.rank_pattern, options.rank_pattern) << "in the order given, which decides";
  EXPECT_EQ(back.alpha_pattern, options.alpha_pattern);
  EXPECT_EQ(back.modules_to_save, options.modules_to_save);
  EXPECT_EQ(back.trainable_token_indices, options.trainable_token_indices);
  EXPECT_TRUE(back.ensure_weight_tying);
  options.trainable_token_indices = {{"", {7, 3}}};
  const OrderedJson listed = adapter_config(options, "base");
  EXPECT_EQ(listed["trainable_token_indices"], OrderedJson({7, 3})) << "of the embedding, as PEFT lists them";
  EXPECT_EQ(read(listed).trainable_token_indices, options.trainable_token_indices);
}

TEST(AdapterConfig, ReadsPeftsOwn) {
  const LoraOptions options = read(changed("target_modules", "all-linear"));
  EXPECT_EQ(options.rank, 4);
  EXPECT_EQ(options.alpha, 8);
  EXPECT_TRUE(options.use_dora);
  EXPECT_EQ(options.targets.names, std::vector<std::string>{"all-linear"});
  EXPECT_EQ(read(changed("target_modules", R"(.*q_proj)")).targets.regex, ".*q_proj");
  EXPECT_NO_THROW(read(changed("a_feature_of_tomorrow", nullptr))) << "it asks for nothing";
  EXPECT_NO_THROW(read(changed("init_lora_weights", "gaussian")));
}

TEST(AdapterConfig, RefusesWhatItDoesNotCompute) {
  const auto refused = [](const char* key, const OrderedJson& value, const char* text) {
    expect_error([&] { read(changed(key, value)); }, "adapter_config.json", key, text);
  };
  refused("peft_type", "LOHA", "\"LOHA\", which is not supported (only \"LORA\")");
  refused("bias", "lora_only", "only \"none\"");
  for (const char* key : {"use_qalora", "lora_bias", "a_feature_of_tomorrow"})
    refused(key, true, "not supported");
  refused("layer_replication", {{0, 2}, {1, 3}}, "not supported");
  refused("target_parameters", {"experts"}, "not supported");
  refused("alora_invocation_tokens", {1, 2}, "not supported");
  refused("init_lora_weights", "olora", "path_initial_model_for_weight_conversion");
  refused("target_modules", nullptr, "names nothing");
  refused("r", 0, "not a possible rank");
  refused("rank_pattern", {{"q_proj", 0}}, "not above 0");
  refused("rank_pattern", {{"q_proj", 2.5}}, "not a possible rank");
  refused("rank_pattern", {{"q_proj", 1e300}}, "not a possible rank");
  refused("rank_pattern", {"q_proj"}, "not an object");
  refused("trainable_token_indices", {{"lm_head", 3}}, "not a list of token ids");
  refused("trainable_token_indices", {1.5}, "not a list of token ids");
  refused("lora_alpha", "much", "unexpected value");
  expect_error([] { read_adapter_config("/nowhere"); }, "not a PEFT adapter folder");
}

}  // namespace
}  // namespace ranktune
