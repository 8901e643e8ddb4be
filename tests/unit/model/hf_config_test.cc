#include "model/hf_config.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

// After the config.json of LLaMA 7B, Llama 3.2 1B, Qwen2.5 0.5B, Qwen3 0.6B and Qwen 7B Chat.
constexpr const char* kLlama1 = R"({
  "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": 4096,
  "intermediate_size": 11008, "max_position_embeddings": 2048, "num_attention_heads": 32,
  "num_hidden_layers": 32, "rms_norm_eps": 1e-05, "tie_word_embeddings": false, "torch_dtype": "float16",
  "vocab_size": 32000})";
constexpr const char* kLlama3 = R"({
  "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": 2048,
  "intermediate_size": 8192, "max_position_embeddings": 131072, "num_attention_heads": 32,
  "num_hidden_layers": 16, "num_key_value_heads": 8, "head_dim": 64, "rms_norm_eps": 1e-05,
  "attention_bias": false, "mlp_bias": false, "pretraining_tp": 1, "rope_theta": 500000.0,
  "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                   "original_max_position_embeddings": 8192, "rope_type": "llama3"},
  "tie_word_embeddings": true, "torch_dtype": "bfloat16", "vocab_size": 128256})";
constexpr const char* kQwen2 = R"({
  "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 896,
  "intermediate_size": 4864, "max_position_embeddings": 32768, "max_window_layers": 21,
  "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
  "rope_theta": 1000000.0, "sliding_window": 32768, "use_sliding_window": false,
  "tie_word_embeddings": true, "torch_dtype": "bfloat16", "vocab_size": 151936})";
constexpr const char* kQwen3 = R"({
  "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_act": "silu", "hidden_size": 1024,
  "intermediate_size": 3072, "max_position_embeddings": 40960, "max_window_layers": 28,
  "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8, "head_dim": 128,
  "attention_bias": false, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000,
  "sliding_window": null, "use_sliding_window": false, "tie_word_embeddings": true,
  "torch_dtype": "bfloat16", "vocab_size": 151936})";
constexpr const char* kQwen1 = R"({
  "architectures": ["QWenLMHeadModel"], "model_type": "qwen", "hidden_size": 4096,
  "intermediate_size": 22016, "kv_channels": 128, "layer_norm_epsilon": 1e-05,
  "max_position_embeddings": 32768, "no_bias": true, "num_attention_heads": 32, "num_hidden_layers": 32,
  "rotary_emb_base": 20000, "rotary_pct": 1.0, "scale_attn_weights": true, "seq_length": 8192,
  "tie_word_embeddings": false, "use_dynamic_ntk": true, "use_logn_attn": true, "vocab_size": 151936})";

/// The config with the values of `changes` in place of its own; null stands for an absent one.
Architecture parsed(const char* config, const char* changes = "{}") {
  Json json = parse_json(config, "config");
  json.update(parse_json(changes, "changes"));
  return parse_architecture(json, "config.json");
}

TEST(HfConfig, ALlamaWithoutKeyValueHeadsHasOneForEachHead) {
  const Architecture arch = parsed(kLlama1);
  EXPECT_EQ(arch.family, Family::kLlama);
  EXPECT_EQ(arch.model_type, "llama");
  EXPECT_EQ(arch.hidden_size, 4096);
  EXPECT_EQ(arch.intermediate_size, 11008);
  EXPECT_EQ(arch.layers, 32);
  EXPECT_EQ(arch.heads, 32);
  EXPECT_EQ(arch.kv_heads, 32);
  EXPECT_EQ(arch.head_dim, 128) << "4096 / 32";
  EXPECT_EQ(arch.vocab_size, 32000);
  EXPECT_EQ(arch.longest_sequence(), 2048);
  EXPECT_EQ(arch.norm_eps, 1e-5);
  EXPECT_EQ(arch.rope_theta, 10000.0) << "transformers' default";
  EXPECT_EQ(arch.rope_scaling.kind, RopeScaling::Kind::kNone);
  EXPECT_FALSE(arch.attention_bias || arch.attention_output_bias || arch.mlp_bias || arch.qk_norm);
  EXPECT_FALSE(arch.tied_head || arch.fused_qkv || arch.log_n_attention);
  EXPECT_EQ(arch.stored_dtype, "float16");
}

TEST(HfConfig, ALlama3SharesItsKeysItsHeadAndItsRotation) {
  const Architecture arch = parsed(kLlama3);
  EXPECT_EQ(arch.heads, 32);
  EXPECT_EQ(arch.kv_heads, 8);
  EXPECT_TRUE(arch.tied_head);
  EXPECT_EQ(arch.rope_theta, 500000.0);
  EXPECT_EQ(arch.rope_scaling.kind, RopeScaling::Kind::kLlama3);
  EXPECT_EQ(arch.rope_scaling.factor, 32.0);
  EXPECT_EQ(arch.rope_scaling.low_freq_factor, 1.0);
  EXPECT_EQ(arch.rope_scaling.high_freq_factor, 4.0);
  EXPECT_EQ(arch.rope_scaling.original_positions, 8192);
  EXPECT_EQ(arch.longest_sequence(), 131072) << "max_position_embeddings is stretched already";
  EXPECT_EQ(parsed(kLlama3, R"({"num_key_value_heads": null})").kv_heads, 32);
  EXPECT_EQ(parsed(kLlama3, R"({"head_dim": 80})").head_dim, 80) << "heads * head_dim need not be the width";
  EXPECT_EQ(parsed(kLlama3, R"({"head_dim": null, "num_attention_heads": 16})").head_dim, 128);
}

TEST(HfConfig, BiasesStandWhereTheFamilyHasThem) {
  const Architecture llama = parsed(kLlama3, R"({"attention_bias": true})");
  EXPECT_TRUE(llama.attention_bias && llama.attention_output_bias);
  EXPECT_FALSE(llama.mlp_bias);
  EXPECT_TRUE(parsed(kLlama3, R"({"mlp_bias": true})").mlp_bias);
  const Architecture qwen2 = parsed(kQwen2);
  EXPECT_TRUE(qwen2.attention_bias) << "without being told";
  EXPECT_FALSE(qwen2.attention_output_bias || qwen2.mlp_bias);
  EXPECT_FALSE(parsed(kQwen3).attention_bias);
  const Architecture qwen3 = parsed(kQwen3, R"({"attention_bias": true})");
  EXPECT_TRUE(qwen3.attention_bias && qwen3.attention_output_bias);
}

TEST(HfConfig, Qwen2) {
  const Architecture arch = parsed(kQwen2);
  EXPECT_EQ(arch.family, Family::kQwen2);
  EXPECT_EQ(arch.hidden_size, 896);
  EXPECT_EQ(arch.intermediate_size, 4864);
  EXPECT_EQ(arch.layers, 24);
  EXPECT_EQ(arch.heads, 14);
  EXPECT_EQ(arch.kv_heads, 2);
  EXPECT_EQ(arch.head_dim, 64) << "896 / 14";
  EXPECT_EQ(arch.vocab_size, 151936);
  EXPECT_EQ(arch.rope_theta, 1e6);
  EXPECT_EQ(arch.rope_scaling.kind, RopeScaling::Kind::kNone);
  EXPECT_EQ(arch.longest_sequence(), 32768);
  EXPECT_TRUE(arch.tied_head);
  EXPECT_FALSE(arch.qk_norm);
  EXPECT_EQ(arch.stored_dtype, "bfloat16");
}

TEST(HfConfig, Qwen3NormsQueriesAndKeysAndHasItsOwnHeadSize) {
  const Architecture arch = parsed(kQwen3);
  EXPECT_EQ(arch.family, Family::kQwen3);
  EXPECT_TRUE(arch.qk_norm);
  EXPECT_EQ(arch.hidden_size, 1024);
  EXPECT_EQ(arch.heads, 16);
  EXPECT_EQ(arch.kv_heads, 8);
  EXPECT_EQ(arch.head_dim, 128) << "not 1024 / 16";
  EXPECT_EQ(arch.rope_theta, 1e6) << "written as a whole number";
  EXPECT_EQ(arch.norm_eps, 1e-6);
}

TEST(HfConfig, TheFirstQwenHasItsOwnNames) {
  const Architecture arch = parsed(kQwen1);
  EXPECT_EQ(arch.family, Family::kQwen1);
  EXPECT_EQ(arch.intermediate_size, 11008) << "its code makes w1 and w2 of intermediate_size // 2";
  EXPECT_EQ(arch.kv_heads, 32);
  EXPECT_EQ(arch.head_dim, 128);
  EXPECT_EQ(parsed(kQwen1, R"({"kv_channels": 64})").head_dim, 64);
  EXPECT_EQ(arch.norm_eps, 1e-5);
  EXPECT_EQ(arch.rope_theta, 20000.0);
  EXPECT_TRUE(arch.fused_qkv);
  EXPECT_TRUE(arch.attention_bias) << "no_bias is of all others";
  EXPECT_FALSE(arch.attention_output_bias || arch.mlp_bias || arch.qk_norm || arch.tied_head);
  EXPECT_TRUE(arch.log_n_attention);
  EXPECT_EQ(arch.max_positions, 8192) << "seq_length, which log-n and NTK count from";
  EXPECT_EQ(arch.longest_sequence(), 32768);
  EXPECT_EQ(arch.rope_scaling.kind, RopeScaling::Kind::kQwen1);
  EXPECT_EQ(arch.rope_scaling.original_positions, 8192);
  const Architecture plain = parsed(kQwen1, R"({"use_dynamic_ntk": false, "use_logn_attn": false})");
  EXPECT_EQ(plain.rope_scaling.kind, RopeScaling::Kind::kNone);
  EXPECT_FALSE(plain.log_n_attention);
}

TEST(HfConfig, LinearAndDynamicScaling) {
  const Architecture linear = parsed(kLlama1, R"({"rope_scaling": {"type": "linear", "factor": 2.5}})");
  EXPECT_EQ(linear.rope_scaling.kind, RopeScaling::Kind::kLinear);
  EXPECT_EQ(linear.rope_scaling.factor, 2.5);
  const Architecture dynamic = parsed(kLlama1, R"({"rope_scaling": {"rope_type": "dynamic", "factor": 4}})");
  EXPECT_EQ(dynamic.rope_scaling.kind, RopeScaling::Kind::kDynamic);
  EXPECT_EQ(dynamic.rope_scaling.factor, 4.0);
  EXPECT_EQ(dynamic.rope_scaling.original_positions, 2048) << "it stretches from max_position_embeddings on";
  EXPECT_EQ(dynamic.longest_sequence(), 8192);
}

/// transformers' _compute_yarn_parameters: attention_factor is 0.1 ln(factor) + 1 where nothing else is said.
TEST(HfConfig, YarnScaling) {
  const RopeScaling plain = parsed(kQwen2, R"({"rope_scaling": {
      "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}})")
                                .rope_scaling;
  EXPECT_EQ(plain.kind, RopeScaling::Kind::kYarn);
  EXPECT_EQ(plain.factor, 4.0);
  EXPECT_EQ(plain.original_positions, 32768);
  EXPECT_EQ(plain.stretched_positions, 131072);
  EXPECT_EQ(plain.beta_fast, 32.0);
  EXPECT_EQ(plain.beta_slow, 1.0);
  EXPECT_TRUE(plain.truncate);
  EXPECT_NEAR(plain.attention_factor, 1.138629436111989, 1e-14);

  const RopeScaling told = parsed(kQwen2, R"({"rope_scaling": {
      "rope_type": "yarn", "factor": 4.0, "beta_fast": 24, "beta_slow": 2, "truncate": false,
      "attention_factor": 1.5, "mscale": 0.707, "mscale_all_dim": 1.25}})")
                               .rope_scaling;
  EXPECT_EQ(told.original_positions, 32768) << "max_position_embeddings";
  EXPECT_EQ(told.beta_fast, 24.0);
  EXPECT_EQ(told.beta_slow, 2.0);
  EXPECT_FALSE(told.truncate);
  EXPECT_EQ(told.attention_factor, 1.5) << "goes before both mscales";

  // (0.1 * 0.707 * ln(40) + 1) / (0.1 * 1.25 * ln(40) + 1)
  const RopeScaling mscales = parsed(kQwen2, R"({"rope_scaling": {
      "type": "yarn", "factor": 40, "mscale": 0.707, "mscale_all_dim": 1.25}})")
                                  .rope_scaling;
  EXPECT_NEAR(mscales.attention_factor, 0.8629082247654538, 1e-14);
  const RopeScaling one_mscale =
      parsed(kQwen2, R"({"rope_scaling": {"type": "yarn", "factor": 40, "mscale": 0.707}})").rope_scaling;
  EXPECT_NEAR(one_mscale.attention_factor, 1.3688879454113936, 1e-14) << "both or none";

  const RopeScaling by_length = parsed(kQwen2, R"({"max_position_embeddings": 131072, "rope_scaling": {
      "type": "yarn", "factor": null, "original_max_position_embeddings": 32768}})")
                                    .rope_scaling;
  EXPECT_EQ(by_length.factor, 4.0) << "131072 / 32768";
  EXPECT_NEAR(by_length.attention_factor, 1.138629436111989, 1e-14);
}

TEST(HfConfig, TheSpellingsOfTransformers5) {
  const Architecture plain = parsed(kQwen3, R"({
      "rope_theta": null, "torch_dtype": null, "dtype": "float32", "num_hidden_layers": 2,
      "rope_parameters": {"rope_theta": 5000000, "rope_type": "default"},
      "layer_types": ["full_attention", "full_attention"]})");
  EXPECT_EQ(plain.rope_theta, 5e6);
  EXPECT_EQ(plain.rope_scaling.kind, RopeScaling::Kind::kNone);
  EXPECT_EQ(plain.stored_dtype, "float32");
  const Architecture stretched = parsed(kLlama1, R"({"rope_theta": 20000.0, "rope_parameters": {
      "rope_theta": 500000.0, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.5,
      "high_freq_factor": 3.5, "original_max_position_embeddings": 1024}})");
  EXPECT_EQ(stretched.rope_theta, 500000.0) << "what stands inside goes before";
  EXPECT_EQ(stretched.rope_scaling.kind, RopeScaling::Kind::kLlama3);
  EXPECT_EQ(stretched.rope_scaling.factor, 8.0);
  EXPECT_EQ(stretched.rope_scaling.low_freq_factor, 1.5);
  EXPECT_EQ(stretched.rope_scaling.high_freq_factor, 3.5);
  EXPECT_EQ(stretched.rope_scaling.original_positions, 1024);
  EXPECT_EQ(
      parsed(kLlama1, R"({"rope_theta": 20000.0, "rope_parameters": {"rope_type": "default"}})").rope_theta,
      20000.0);
  EXPECT_EQ(parsed(kLlama1, R"({"dtype": "float32"})").stored_dtype, "float32") << "before torch_dtype";
  EXPECT_EQ(
      parsed(kLlama1, R"({"rope_parameters": {"rope_type": "linear", "type": "dynamic", "factor": 2.0}})")
          .rope_scaling.kind,
      RopeScaling::Kind::kLinear);
}

TEST(HfConfig, AnAbsentRopeOfOneSpellingLeavesTheOther) {
  const char* changes =
      R"({"rope_parameters": null, "rope_scaling": {"rope_type": "linear", "factor": 2.0}})";
  EXPECT_EQ(parsed(kLlama1, changes).rope_scaling.kind, RopeScaling::Kind::kLinear);
}

TEST(HfConfig, IsReadFromTheFolderThatErrorsName) {
  const TempDir folder;
  write_file(folder / "config.json", kQwen2);
  EXPECT_EQ(read_architecture(folder.path()).hidden_size, 896);
  write_file(folder / "config.json", "{}");
  expect_error([&] { read_architecture(folder.path()); }, (folder / "config.json").string(),
               "\"model_type\" is missing");
  expect_error([&] { read_architecture(folder / "none"); }, (folder / "none").string(),
               "does not exist; give a Hugging Face model folder");
}

/// With those changes the config is refused, with every one of `parts` in the message.
template <typename... Parts>
void refused(const char* config, const char* changes, const Parts&... parts) {
  SCOPED_TRACE(changes);
  expect_error([&] { parsed(config, changes); }, "config.json", parts...);
}

TEST(HfConfigRefusal, OtherArchitectures) {
  refused(kLlama1, R"({"architectures": ["MistralForCausalLM"], "model_type": "mistral"})",
          "architecture \"MistralForCausalLM\" (model_type \"mistral\") is not supported",
          "supported are LlamaForCausalLM (llama), Qwen2ForCausalLM (qwen2), Qwen3ForCausalLM (qwen3), "
          "QWenLMHeadModel (qwen)");
  refused(kLlama1, R"({"architectures": ["LlamaForSequenceClassification"]})",
          "architecture \"LlamaForSequenceClassification\" (model_type \"llama\") is not supported");
  refused(kQwen2, R"({"model_type": "qwen3"})",
          "architecture \"Qwen2ForCausalLM\" (model_type \"qwen3\") is not supported");
  refused(kLlama1, R"({"quantization_config": {"quant_method": "gptq", "bits": 4}})",
          "the weights are quantised (\"quantization_config\")", "use the bf16 or fp16 weights");
}

TEST(HfConfigRefusal, KeysThatAreMissing) {
  for (const char* key : {"model_type", "hidden_size", "vocab_size", "num_hidden_layers",
                          "num_attention_heads", "intermediate_size"})
    for (const char* config : {kLlama1, kQwen1}) {
      Json json = parse_json(config, "config");
      json.erase(key);
      expect_error([&] { parse_architecture(json, "config.json"); },
                   fmt::format("config.json: \"{}\" is missing", key));
    }
}

TEST(HfConfigRefusal, ValuesOfAnotherType) {
  refused(kLlama1, R"({"hidden_size": "4096"})", "\"hidden_size\" has an unexpected value: \"4096\"");
  refused(kLlama1, R"({"num_hidden_layers": 31.5})", "\"num_hidden_layers\" has an unexpected value: 31.5");
  refused(kLlama1, R"({"num_attention_heads": null})",
          "\"num_attention_heads\" has an unexpected value: null");
  refused(kLlama1, R"({"tie_word_embeddings": "yes"})",
          "\"tie_word_embeddings\" has an unexpected value: \"yes\"");
  refused(kLlama1, R"({"rope_theta": "1e6"})", "\"rope_theta\" has an unexpected value: \"1e6\"");
  refused(kLlama1, R"({"model_type": ["llama"]})", "\"model_type\" has an unexpected value: [\"llama\"]");
  refused(kLlama1, R"({"rope_scaling": "linear"})", "rope_scaling: an object was expected, found \"linear\"");
}

TEST(HfConfigRefusal, SizesThatCannotBe) {
  refused(kLlama1, R"({"vocab_size": 0})", "\"vocab_size\" is 0, which is not a possible size");
  refused(kLlama1, R"({"intermediate_size": -1})",
          "\"intermediate_size\" is -1, which is not a possible size");
  refused(kLlama1, R"({"hidden_size": 2147483648})",
          "\"hidden_size\" is 2147483648, which is not a possible size");
  refused(kLlama1, R"({"num_key_value_heads": 0})",
          "\"num_key_value_heads\" is 0, which is not a possible size");
  refused(kLlama3, R"({"num_key_value_heads": 12})",
          "32 attention heads cannot be shared by 12 key/value heads");
  refused(kLlama3, R"({"num_key_value_heads": 64})",
          "32 attention heads cannot be shared by 64 key/value heads");
  refused(kQwen3, R"({"head_dim": 127})", "head size 127 must be even for the rotary embedding");
  refused(kLlama1, R"({"rms_norm_eps": -0.5})", "\"rms_norm_eps\" is -0.5, but must be a positive number");
  refused(kLlama1, R"({"rope_theta": -0.5})", "\"rope_theta\" is -0.5, but must be a positive number");
}

TEST(HfConfigRefusal, SwitchesThatChangeTheMathematics) {
  constexpr const char* kWhy = "training would compute another model than this one";
  refused(kLlama1, R"({"hidden_act": "gelu"})", "\"hidden_act\" is \"gelu\", but only \"silu\" is supported",
          kWhy);
  refused(kLlama1, R"({"pretraining_tp": 2})", "\"pretraining_tp\" is 2, but only 1 is supported", kWhy);
  refused(kLlama1, R"({"partial_rotary_factor": 0.5})",
          "config.json: \"partial_rotary_factor\" is 0.5, but only 1.0 is supported", kWhy);
  refused(kLlama1, R"({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.25}})",
          "rope_parameters: \"partial_rotary_factor\" is 0.25, but only 1.0 is supported", kWhy);
  refused(kQwen2, R"({"use_sliding_window": true})",
          "\"use_sliding_window\" is true, but sliding-window attention is not supported");
  refused(kQwen3, R"({"layer_types": ["full_attention", "sliding_attention"]})",
          "\"layer_types\" has \"sliding_attention\", but only full_attention is supported");
  refused(kQwen1, R"({"no_bias": false})", "\"no_bias\" is false, but only true is supported", kWhy);
  refused(kQwen1, R"({"rotary_pct": 0.25})", "\"rotary_pct\" is 0.25, but only 1.0 is supported", kWhy);
  refused(kQwen1, R"({"scale_attn_weights": false})",
          "\"scale_attn_weights\" is false, but only true is supported", kWhy);
  refused(kQwen1, R"({"intermediate_size": 22017})",
          "\"intermediate_size\" 22017 is odd, but Qwen v1 splits it in two");
}

TEST(HfConfigRefusal, RotationsThatAreUnknownOrCannotBe) {
  refused(kLlama1, R"({"rope_scaling": {"rope_type": "longrope", "factor": 4.0}})",
          "rope_scaling: rope type \"longrope\" is not supported",
          "supported are default, linear, llama3, yarn, dynamic");
  refused(kLlama1, R"({"rope_scaling": {"type": "linear", "factor": -0.5}})",
          "rope_scaling: \"factor\" is -0.5, but must be a positive number");
  refused(kLlama1, R"({"rope_scaling": {"type": "linear", "factor": "2"}})",
          "rope_scaling: \"factor\" has an unexpected value: \"2\"");
  refused(kLlama1, R"({"rope_parameters": {"rope_type": "default", "rope_theta": -0.5}})",
          "rope_parameters: \"rope_theta\" is -0.5, but must be a positive number");
  refused(kLlama1, R"({"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.5,
                        "high_freq_factor": 1.5, "original_max_position_embeddings": 1024}})",
          "rope_scaling: high_freq_factor 1.5 must be above low_freq_factor 4.5");
  refused(kLlama1, R"({"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 2.5,
                        "high_freq_factor": 2.5, "original_max_position_embeddings": 1024}})",
          "rope_scaling: high_freq_factor 2.5 must be above low_freq_factor 2.5");
  refused(kLlama1, R"({"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.5,
                        "high_freq_factor": 3.5}})",
          "rope_scaling: \"original_max_position_embeddings\" is missing");
  refused(kLlama1, R"({"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "high_freq_factor": 3.5,
                        "original_max_position_embeddings": 1024}})",
          "rope_scaling: \"low_freq_factor\" is missing");
  for (const char* type : {"linear", "dynamic"})
    refused(kLlama1, fmt::format(R"({{"rope_scaling": {{"type": "{}"}}}})", type).c_str(),
            "rope_scaling: \"factor\" is missing");
  refused(kLlama1, R"({"rope_scaling": {"type": "dynamic", "factor": 1e300}})",
          "rope_scaling: \"factor\" 1e+300 is absurd");
  refused(kLlama1, R"({"rope_scaling": {"type": "yarn", "factor": 4.0, "beta_fast": 1.5, "beta_slow": 2.5}})",
          "rope_scaling: beta_fast 1.5 must be above beta_slow 2.5");
  refused(kLlama1, R"({"rope_scaling": {"type": "linear", "factor": 2.0},
                        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}})",
          "holds \"rope_parameters\" and \"rope_scaling\" that differ; keep the one that is meant");
  refused(kLlama1, R"({"rope_parameters": {"full_attention": {"rope_type": "default"}}})",
          "rope_parameters: has values of its own for \"full_attention\", which are not supported");
  refused(kLlama1, R"({"rope_scaling": {"type": "yarn", "factor": 4.0, "attention_factor": -0.5}})",
          "rope_scaling: \"attention_factor\" is -0.5, but must be a positive number");
}

}  // namespace
}  // namespace ranktune
