#include "model/hf_config.h"

#include <array>
#include <cmath>
#include <initializer_list>

#include "base/error.h"
#include "model/model_files.h"

namespace ranktune {
namespace {

struct KnownFamily {
  const char* architecture;
  const char* model_type;
  Family family;
};
constexpr std::array kFamilies{
    KnownFamily{"LlamaForCausalLM", "llama", Family::kLlama},
    KnownFamily{"Qwen2ForCausalLM", "qwen2", Family::kQwen2},
    KnownFamily{"Qwen3ForCausalLM", "qwen3", Family::kQwen3},
    KnownFamily{"QWenLMHeadModel", "qwen", Family::kQwen1},
};

const KnownFamily& find_family(const Json& config, const std::string& where) {
  const auto model_type = json_get<std::string>(config, "model_type", where);
  std::string architecture;
  if (config.contains("architectures") && config["architectures"].is_array() &&
      !config["architectures"].empty())
    architecture =
        config["architectures"][0].is_string() ? config["architectures"][0].get<std::string>() : "";
  std::string supported;
  for (const KnownFamily& known : kFamilies) {
    if (model_type == known.model_type && (architecture.empty() || architecture == known.architecture))
      return known;
    supported +=
        fmt::format("{}{} ({})", supported.empty() ? "" : ", ", known.architecture, known.model_type);
  }
  fail("{}: architecture \"{}\" (model_type \"{}\") is not supported; supported are {}", where, architecture,
       model_type, supported);
}

std::int64_t positive(const Json& config, const char* key, const std::string& where) {
  const auto value = json_get<std::int64_t>(config, key, where);
  require(value > 0 && value < (std::int64_t{1} << 31), "{}: \"{}\" is {}, which is not a possible size",
          where, key, value);
  return value;
}

std::int64_t positive_or(const Json& config, const char* key, std::int64_t fallback,
                         const std::string& where) {
  return config.contains(key) && !config[key].is_null() ? positive(config, key, where) : fallback;
}

double positive_number(const Json& config, const char* key, double fallback, const std::string& where) {
  const auto value = json_get_or<double>(config, key, fallback, where);
  require(std::isfinite(value) && value > 0, "{}: \"{}\" is {}, but must be a positive number", where, key,
          value);
  return value;
}

void require_value(const Json& config, const char* key, const Json& wanted, const std::string& where) {
  if (!config.contains(key) || config[key].is_null() || config[key] == wanted) return;
  fail("{}: \"{}\" is {}, but only {} is supported; training would compute another model than this one",
       where, key, config[key].dump(), wanted.dump());
}

double yarn_scale(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

/// Peng et al. 2023, with transformers' keys and defaults.
void read_yarn(const Json& rope, Architecture& arch, const std::string& inside) {
  RopeScaling& scaling = arch.rope_scaling;
  scaling.kind = RopeScaling::Kind::kYarn;
  scaling.original_positions =
      positive_or(rope, "original_max_position_embeddings", arch.max_positions, inside);
  scaling.factor = positive_number(
      rope, "factor",
      static_cast<double>(arch.max_positions) / static_cast<double>(scaling.original_positions), inside);
  scaling.beta_fast = positive_number(rope, "beta_fast", 32.0, inside);
  scaling.beta_slow = positive_number(rope, "beta_slow", 1.0, inside);
  require(scaling.beta_fast > scaling.beta_slow, "{}: beta_fast {} must be above beta_slow {}", inside,
          scaling.beta_fast, scaling.beta_slow);
  scaling.truncate = json_get_or<bool>(rope, "truncate", true, inside);
  const auto mscale = json_get_or<double>(rope, "mscale", 0.0, inside),
             all_dim = json_get_or<double>(rope, "mscale_all_dim", 0.0, inside);
  scaling.attention_factor = positive_number(
      rope, "attention_factor",
      mscale != 0 && all_dim != 0 ? yarn_scale(scaling.factor, mscale) / yarn_scale(scaling.factor, all_dim)
                                  : yarn_scale(scaling.factor, 1.0),
      inside);
}

double required_number(const Json& object, const char* key, const std::string& where) {
  require(object.contains(key) && !object[key].is_null(), "{}: \"{}\" is missing", where, key);
  return positive_number(object, key, 0.0, where);
}

/// transformers 5 writes "rope_parameters" (with the theta inside), earlier ones "rope_theta" and
/// "rope_scaling".
void read_rope(const Json& config, Architecture& arch, const std::string& where) {
  constexpr double kLargestFactor = 1e6;
  arch.rope_theta = positive_number(config, "rope_theta", 10000.0, where);
  const Json parameters = config.value("rope_parameters", Json()), old = config.value("rope_scaling", Json());
  require(parameters.is_null() || old.is_null() || parameters == old,
          "{}: holds \"rope_parameters\" and \"rope_scaling\" that differ; keep the one that is meant",
          where);
  const Json& rope = parameters.is_null() ? old : parameters;
  if (rope.is_null()) return;
  const std::string inside = where + (parameters.is_null() ? ": rope_scaling" : ": rope_parameters");
  require(rope.is_object(), "{}: an object was expected, found {}", inside, rope.dump().substr(0, 80));
  for (const auto& [key, value] : rope.items())
    require(!value.is_object(), "{}: has values of its own for \"{}\", which are not supported", inside, key);
  require_value(rope, "partial_rotary_factor", 1.0, inside);
  arch.rope_theta = positive_number(rope, "rope_theta", arch.rope_theta, inside);
  const auto type = json_get_or<std::string>(
      rope, "rope_type", json_get_or<std::string>(rope, "type", "default", inside), inside);
  RopeScaling& scaling = arch.rope_scaling;
  if (type == "default") return;
  if (type == "linear") {
    scaling.kind = RopeScaling::Kind::kLinear;
  } else if (type == "llama3") {
    scaling.kind = RopeScaling::Kind::kLlama3;
    scaling.low_freq_factor = required_number(rope, "low_freq_factor", inside);
    scaling.high_freq_factor = required_number(rope, "high_freq_factor", inside);
    scaling.original_positions = positive(rope, "original_max_position_embeddings", inside);
    require(scaling.high_freq_factor > scaling.low_freq_factor,
            "{}: high_freq_factor {} must be above low_freq_factor {}", inside, scaling.high_freq_factor,
            scaling.low_freq_factor);
  } else if (type == "yarn") {
    read_yarn(rope, arch, inside);
  } else if (type == "dynamic") {
    scaling.kind = RopeScaling::Kind::kDynamic;
    scaling.original_positions = arch.max_positions;
  } else {
    fail("{}: rope type \"{}\" is not supported; supported are default, linear, llama3, yarn, dynamic",
         inside, type);
  }
  if (type != "yarn") scaling.factor = required_number(rope, "factor", inside);
  require(scaling.factor <= kLargestFactor, "{}: \"factor\" {} is absurd", inside, scaling.factor);
  if (type == "dynamic")
    scaling.stretched_positions =
        static_cast<std::int64_t>(scaling.factor * static_cast<double>(arch.max_positions));
  if (type == "yarn")
    scaling.stretched_positions =
        static_cast<std::int64_t>(scaling.factor * static_cast<double>(scaling.original_positions));
}

void read_qwen1(const Json& config, Architecture& arch, const std::string& where) {
  arch.layers = positive(config, "num_hidden_layers", where);
  arch.heads = arch.kv_heads = positive(config, "num_attention_heads", where);
  arch.head_dim = positive_or(config, "kv_channels", arch.hidden_size / arch.heads, where);
  const std::int64_t both = positive(config, "intermediate_size", where);
  require(both % 2 == 0, "{}: \"intermediate_size\" {} is odd, but Qwen v1 splits it in two", where, both);
  arch.intermediate_size = both / 2;
  arch.norm_eps = positive_number(config, "layer_norm_epsilon", 1e-6, where);
  arch.rope_theta = positive_number(config, "rotary_emb_base", 10000.0, where);
  arch.max_positions = positive_or(config, "seq_length", 2048, where);
  arch.attention_bias = true;
  arch.fused_qkv = true;
  if (json_get_or<bool>(config, "use_dynamic_ntk", false, where))
    arch.rope_scaling = {.kind = RopeScaling::Kind::kQwen1, .original_positions = arch.max_positions};
  arch.log_n_attention = json_get_or<bool>(config, "use_logn_attn", false, where);
  arch.rope_scaling.stretched_positions =
      json_get_or<std::int64_t>(config, "max_position_embeddings", 0, where);
  require_value(config, "no_bias", true, where);
  require_value(config, "rotary_pct", 1.0, where);
  require_value(config, "scale_attn_weights", true, where);
}

void read_common(const Json& config, Architecture& arch, const std::string& where) {
  arch.layers = positive(config, "num_hidden_layers", where);
  arch.heads = positive(config, "num_attention_heads", where);
  arch.kv_heads = positive_or(config, "num_key_value_heads", arch.heads, where);
  arch.head_dim = positive_or(config, "head_dim", arch.hidden_size / arch.heads, where);
  arch.intermediate_size = positive(config, "intermediate_size", where);
  arch.norm_eps = positive_number(config, "rms_norm_eps", 1e-6, where);
  arch.max_positions = positive_or(config, "max_position_embeddings", 2048, where);
  require_value(config, "hidden_act", "silu", where);
  require_value(config, "pretraining_tp", 1, where);
  require_value(config, "partial_rotary_factor", 1.0, where);
  read_rope(config, arch, where);
  const bool bias_default = arch.family == Family::kQwen2;
  arch.attention_bias = json_get_or<bool>(config, "attention_bias", bias_default, where);
  arch.attention_output_bias = arch.family != Family::kQwen2 && arch.attention_bias;
  arch.mlp_bias = json_get_or<bool>(config, "mlp_bias", false, where);
  arch.qk_norm = arch.family == Family::kQwen3;
  if (json_get_or<bool>(config, "use_sliding_window", false, where))
    fail("{}: \"use_sliding_window\" is true, but sliding-window attention is not supported", where);
  for (const auto& type : json_get_or<std::vector<std::string>>(config, "layer_types", {}, where))
    require(type == "full_attention", "{}: \"layer_types\" has \"{}\", but only full_attention is supported",
            where, type);
}

}  // namespace

Architecture parse_architecture(const Json& config, const std::string& where) {
  const KnownFamily& known = find_family(config, where);
  Architecture arch{.family = known.family, .model_type = known.model_type};
  if (config.contains("quantization_config") && !config["quantization_config"].is_null())
    fail(
        "{}: the weights are quantised (\"quantization_config\"), which is not supported; use the bf16 or "
        "fp16 weights",
        where);
  arch.hidden_size = positive(config, "hidden_size", where);
  arch.vocab_size = positive(config, "vocab_size", where);
  if (arch.family == Family::kQwen1)
    read_qwen1(config, arch, where);
  else
    read_common(config, arch, where);
  arch.tied_head = json_get_or<bool>(config, "tie_word_embeddings", false, where);
  arch.stored_dtype = json_get_or<std::string>(
      config, "dtype", json_get_or<std::string>(config, "torch_dtype", "", where), where);
  require(arch.kv_heads > 0 && arch.heads % arch.kv_heads == 0,
          "{}: {} attention heads cannot be shared by {} key/value heads", where, arch.heads, arch.kv_heads);
  require(arch.head_dim > 0 && arch.head_dim % 2 == 0,
          "{}: head size {} must be even for the rotary embedding", where, arch.head_dim);
  return arch;
}

Architecture read_architecture(const Path& model_folder) {
  return parse_architecture(read_model_config(model_folder), (model_folder / "config.json").string());
}

}  // namespace ranktune
