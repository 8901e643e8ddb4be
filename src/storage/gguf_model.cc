#include "storage/gguf_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "base/numeric.h"

namespace ranktune {
namespace {

struct KnownArchitecture {
  std::string_view gguf;
  std::string_view hugging_face;
};
constexpr std::array kArchitectures{
    KnownArchitecture{"llama", "LlamaForCausalLM"},
    KnownArchitecture{"qwen", "QWenLMHeadModel"},
    KnownArchitecture{"qwen2", "Qwen2ForCausalLM"},
    KnownArchitecture{"qwen3", "Qwen3ForCausalLM"},
};

bool is_first_or_second_qwen(std::string_view family) { return family == "qwen" || family == "qwen2"; }

/// Settings (after "llama." and the like) that are read below or change nothing.
constexpr std::array<std::string_view, 20> kKnownSettings{
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "vocab_size",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.layer_norm_rms_epsilon",
    "attention.key_length",
    "attention.value_length",
    "attention.causal",
    "attention.sliding_window",
    "expert_count",
    "expert_used_count",
    "rope.freq_base",
    "rope.dimension_count",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.finetuned",
};

/// Reads the settings of one architecture: key("block_count") is "llama.block_count".
class Settings {
 public:
  Settings(const GgufFile& file, std::string prefix) : file_(file), prefix_(std::move(prefix) + ".") {}

  std::string key(std::string_view name) const { return prefix_ + std::string(name); }
  bool has(std::string_view name) const { return file_.has(key(name)); }
  std::int64_t size(std::string_view name) const {
    const std::int64_t value = file_.get_int(key(name));
    require(value > 0 && value < (std::int64_t{1} << 31),
            "{}: metadata \"{}\" is {}, which is not a possible size", file_.where(), key(name), value);
    return value;
  }
  std::int64_t size_or(std::string_view name, std::int64_t fallback) const {
    return has(name) ? size(name) : fallback;
  }
  double positive(std::string_view name) const {
    const double value = file_.get_number(key(name));
    require(std::isfinite(value) && value > 0, "{}: metadata \"{}\" is {}, but must be positive",
            file_.where(), key(name), value);
    return value;
  }
  double positive_or(std::string_view name, double fallback) const {
    return has(name) ? positive(name) : fallback;
  }

  void refuse_unknown() const {
    for (const auto& [name, value] : file_.values()) {
      if (!name.starts_with(prefix_)) continue;
      const std::string_view setting = std::string_view(name).substr(prefix_.size());
      require(std::find(kKnownSettings.begin(), kKnownSettings.end(), setting) != kKnownSettings.end(),
              "{}: metadata \"{}\" is not understood; the model may compute something that config.json "
              "cannot say",
              file_.where(), name);
    }
  }
  /// For switches that mean "off" when they are 0.
  void refuse_nonzero(std::string_view name, std::string_view meaning) const {
    if (!has(name)) return;
    require(file_.get_int(key(name)) == 0, "{}: metadata \"{}\" is {}: {} not supported", file_.where(),
            key(name), file_.get_int(key(name)), meaning);
  }

 private:
  const GgufFile& file_;
  std::string prefix_;
};

std::string supported_architectures() {
  std::string names;
  for (const KnownArchitecture& known : kArchitectures)
    names += fmt::format("{}{}", names.empty() ? "" : ", ", known.gguf);
  return names;
}

Json read_rope_scaling(const GgufFile& file, const Settings& settings, const GgufModel& model) {
  const std::string type = settings.has("rope.scaling.type")
                               ? std::string(file.get_string(settings.key("rope.scaling.type")))
                               : "none";
  const GgufTensor* divisors = file.find_tensor("rope_freqs.weight");
  if (divisors != nullptr) {
    std::vector<float> factors(static_cast<std::size_t>(divisors->rows() * divisors->row_elements()));
    dequantize(divisors->type, divisors->data, factors);
    const auto scaling = llama3_scaling(factors, model.rope_theta);
    require(type == "none" && scaling.has_value() && 2 * divisors->row_elements() == model.head_dim,
            "{}: tensor \"rope_freqs.weight\" does not hold the factors of Llama 3's rope scaling",
            file.where());
    return *scaling;
  }
  if (type == "none") {
    require(settings.positive_or("rope.scaling.factor", 1.0) == 1.0,
            "{}: metadata \"{}\" is given without a scaling type", file.where(),
            settings.key("rope.scaling.factor"));
    return nullptr;
  }
  require(type == "linear" || type == "yarn",
          "{}: rope scaling \"{}\" is not supported; none, linear and yarn are", file.where(), type);
  Json scaling{{"rope_type", type}, {"factor", settings.positive("rope.scaling.factor")}};
  if (type == "yarn")
    scaling["original_max_position_embeddings"] = settings.size("rope.scaling.original_context_length");
  return scaling;
}

constexpr double kLowFreqFactor = 1.0, kHighFreqFactor = 4.0;
struct Llama3Scaling {
  double factor = 1, positions = 0;
  double low_freq_factor = kLowFreqFactor, high_freq_factor = kHighFreqFactor;
};
/// Of the i-th of `count` rotary frequencies theta^-place.
double frequency_place(std::size_t i, std::size_t count) {
  return static_cast<double>(i) / static_cast<double>(count);
}
/// Frequencies that turn less than low_freq_factor times in the first training's length are divided by the
/// factor, those that turn more than high_freq_factor times are kept, the ones between are blended.
double divisor(const Llama3Scaling& scaling, double place, double rope_theta) {
  const double turns = scaling.positions / (2 * std::numbers::pi * std::pow(rope_theta, place));
  const double kept = std::clamp(
      (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor), 0.0, 1.0);
  return 1.0 / ((1.0 - kept) / scaling.factor + kept);
}
bool gives_divisors(const Llama3Scaling& scaling, const std::vector<float>& divisors, double rope_theta) {
  constexpr double kTolerance = 1e-4;
  for (std::size_t i = 0; i < divisors.size(); ++i) {
    const double wanted = divisor(scaling, frequency_place(i, divisors.size()), rope_theta);
    if (!(std::abs(static_cast<double>(divisors[i]) - wanted) <= kTolerance * wanted)) return false;
  }
  return true;
}

/// What else holds of the first Qwen, in the file and in its config.json: feed_forward_length counts the
/// gate's two matrices together, heads are not shared and fill the hidden size, and no scaling can be named.
void read_first_qwen(const GgufFile& file, GgufModel& model) {
  require(model.intermediate_size % 2 == 0,
          "{}: metadata \"qwen.feed_forward_length\" is {}, which is not the width of two matrices",
          file.where(), model.intermediate_size);
  model.intermediate_size /= 2;
  require(model.kv_heads == model.heads && model.heads * model.head_dim == model.hidden_size,
          "{}: {} heads of size {} with {} key/value heads are not possible in a {} model of hidden size {}",
          file.where(), model.heads, model.head_dim, model.kv_heads, model.model_type, model.hidden_size);
  require(model.rope_scaling.is_null(), "{}: rope scaling of a {} model is not supported", file.where(),
          model.model_type);
}

/// The dynamic scaling and the attention factors beyond the training length that the published models have
/// are nothing that a GGUF can ask for.
Json first_qwen_config(const GgufModel& model) {
  return {
      {"architectures", {model.architecture}},
      {"model_type", model.model_type},
      {"hidden_size", model.hidden_size},
      {"intermediate_size", 2 * model.intermediate_size},
      {"num_hidden_layers", model.layers},
      {"num_attention_heads", model.heads},
      {"kv_channels", model.head_dim},
      {"layer_norm_epsilon", model.norm_eps},
      {"rotary_emb_base", model.rope_theta},
      {"rotary_pct", 1.0},
      {"seq_length", model.max_positions},
      {"max_position_embeddings", model.max_positions},
      {"use_dynamic_ntk", false},
      {"use_logn_attn", false},
      {"vocab_size", model.vocab_size},
      {"tie_word_embeddings", model.tied_head},
      {"no_bias", true},
      {"scale_attn_weights", true},
      {"attn_dropout_prob", 0.0},
      {"emb_dropout_prob", 0.0},
      {"initializer_range", 0.02},
      {"use_cache", true},
  };
}

}  // namespace

GgufModel read_gguf_model(const GgufFile& file) {
  const std::string family(file.get_string("general.architecture"));
  const auto known = std::find_if(kArchitectures.begin(), kArchitectures.end(),
                                  [&](const KnownArchitecture& entry) { return entry.gguf == family; });
  require(known != kArchitectures.end(), "{}: architecture \"{}\" is not supported; supported are {}",
          file.where(), family, supported_architectures());
  if (file.has("split.count"))
    require(file.get_int("split.count") <= 1,
            "{}: one part of {}; join them with llama-gguf-split --merge first", file.where(),
            file.get_int("split.count"));
  const Settings settings(file, family);
  settings.refuse_unknown();
  settings.refuse_nonzero("expert_count", "mixtures of experts are");
  settings.refuse_nonzero("attention.sliding_window", "sliding-window attention is");

  GgufModel model;
  model.architecture = known->hugging_face;
  model.model_type = family;
  model.hidden_size = settings.size("embedding_length");
  model.intermediate_size = settings.size("feed_forward_length");
  model.layers = settings.size("block_count");
  model.heads = settings.size("attention.head_count");
  model.kv_heads = settings.size_or("attention.head_count_kv", model.heads);
  model.head_dim = settings.size_or("attention.key_length", model.hidden_size / model.heads);
  model.max_positions = settings.size("context_length");
  model.norm_eps = settings.positive("attention.layer_norm_rms_epsilon");
  model.rope_theta = settings.positive_or("rope.freq_base", 10000.0);
  model.vocab_size = file.get_tensor("token_embd.weight").shape.front();
  require(settings.size_or("vocab_size", model.vocab_size) == model.vocab_size,
          "{}: metadata \"{}\" is {}, but the embedding has {} rows", file.where(),
          settings.key("vocab_size"), settings.size_or("vocab_size", 0), model.vocab_size);
  require(settings.size_or("rope.dimension_count", model.head_dim) == model.head_dim &&
              settings.size_or("attention.value_length", model.head_dim) == model.head_dim,
          "{}: rotary or value sizes other than the head size {} are not supported", file.where(),
          model.head_dim);
  require(model.heads % model.kv_heads == 0 && model.head_dim % 2 == 0,
          "{}: {} heads of size {} with {} key/value heads are not possible", file.where(), model.heads,
          model.head_dim, model.kv_heads);
  model.tied_head = file.find_tensor("output.weight") == nullptr;
  model.attention_bias = is_first_or_second_qwen(family) || file.find_tensor("blk.0.attn_q.bias") != nullptr;
  model.mlp_bias = family == "llama" && file.find_tensor("blk.0.ffn_up.bias") != nullptr;
  model.qk_norm = family == "qwen3";
  model.rope_scaling = read_rope_scaling(file, settings, model);
  if (model.first_qwen()) read_first_qwen(file, model);
  return model;
}

Json gguf_config(const GgufModel& model) {
  if (model.first_qwen()) return first_qwen_config(model);
  Json config{
      {"architectures", {model.architecture}},
      {"model_type", model.model_type},
      {"hidden_act", "silu"},
      {"hidden_size", model.hidden_size},
      {"intermediate_size", model.intermediate_size},
      {"num_hidden_layers", model.layers},
      {"num_attention_heads", model.heads},
      {"num_key_value_heads", model.kv_heads},
      {"head_dim", model.head_dim},
      {"rms_norm_eps", model.norm_eps},
      {"rope_theta", model.rope_theta},
      {"rope_scaling", model.rope_scaling},
      {"max_position_embeddings", model.max_positions},
      {"vocab_size", model.vocab_size},
      {"tie_word_embeddings", model.tied_head},
      {"attention_dropout", 0.0},
      {"initializer_range", 0.02},
      {"use_cache", true},
  };
  if (model.model_type != "qwen2") config["attention_bias"] = model.attention_bias;
  if (model.model_type == "llama") config["mlp_bias"] = model.mlp_bias;
  if (model.model_type != "llama") config["use_sliding_window"] = false;
  return config;
}

void add_model_settings(const GgufModel& model, GgufMetadata& metadata) {
  const std::string& family = model.model_type;
  require(
      !is_first_or_second_qwen(family) || model.heads * model.head_dim == model.hidden_size,
      "programs that read GGUF take {} models whose heads fill the hidden size: {} heads of {} are not {}",
      family, model.heads, model.head_dim, model.hidden_size);
  require(family == "llama" || (!model.mlp_bias && model.attention_bias == is_first_or_second_qwen(family)),
          "programs that read GGUF know no {} model with these biases", family);
  require(!model.first_qwen() || !model.tied_head,
          "programs that read GGUF know no {} model whose head is the embedding", family);
  const auto key = [&](const char* name) { return fmt::format("{}.{}", family, name); };
  const auto add_size = [&](const char* name, std::int64_t value) {
    metadata.add_u32(key(name), narrow<std::uint32_t>(value, name));
  };
  add_size("block_count", model.layers);
  add_size("context_length", model.max_positions);
  add_size("embedding_length", model.hidden_size);
  add_size("feed_forward_length", model.intermediate_size * (model.first_qwen() ? 2 : 1));
  add_size("attention.head_count", model.heads);
  add_size("attention.head_count_kv", model.kv_heads);
  add_size("attention.key_length", model.head_dim);
  add_size("attention.value_length", model.head_dim);
  metadata.add_f32(key("attention.layer_norm_rms_epsilon"), static_cast<float>(model.norm_eps));
  metadata.add_f32(key("rope.freq_base"), static_cast<float>(model.rope_theta));
  add_size("rope.dimension_count", model.head_dim);
  if (family == "llama") add_size("vocab_size", model.vocab_size);
  if (model.rope_scaling.is_null()) return;
  const auto type = model.rope_scaling.at("rope_type").get<std::string>();
  if (type == "llama3") {
    require(family == "llama",
            "programs that read GGUF know llama3 rope scaling of llama models only, not of {}", family);
    return;  // it is in rope_freqs.weight
  }
  require(type == "linear", "rope scaling \"{}\" cannot be written to GGUF; linear and llama3 can", type);
  metadata.add_text(key("rope.scaling.type"), type);
  metadata.add_f32(key("rope.scaling.factor"), model.rope_scaling.at("factor").get<float>());
}

std::vector<float> rope_divisors(const GgufModel& model) {
  const Json& scaling = model.rope_scaling;
  if (scaling.is_null() || scaling.at("rope_type") != "llama3") return {};
  const auto number = [&](const char* key) { return scaling.at(key).get<double>(); };
  const Llama3Scaling wanted{.factor = number("factor"),
                             .positions = number("original_max_position_embeddings"),
                             .low_freq_factor = number("low_freq_factor"),
                             .high_freq_factor = number("high_freq_factor")};
  std::vector<float> divisors(static_cast<std::size_t>(model.head_dim / 2));
  for (std::size_t i = 0; i < divisors.size(); ++i)
    divisors[i] = static_cast<float>(divisor(wanted, frequency_place(i, divisors.size()), model.rope_theta));
  return divisors;
}

std::optional<Json> llama3_scaling(const std::vector<float>& factors, double rope_theta) {
  if (factors.empty() || !(factors.back() > 0)) return std::nullopt;
  const double factor = std::round(static_cast<double>(factors.back()) * 1e4) / 1e4;
  // Llama 3's own length first: with few frequencies several lengths may give the same factors.
  for (const std::int64_t positions :
       {8192, 32, 64, 128, 256, 512, 1024, 2048, 4096, 16384, 32768, 65536, 131072})
    if (gives_divisors({.factor = factor, .positions = static_cast<double>(positions)}, factors, rope_theta))
      return Json{{"rope_type", "llama3"},
                  {"factor", factor},
                  {"low_freq_factor", kLowFreqFactor},
                  {"high_freq_factor", kHighFreqFactor},
                  {"original_max_position_embeddings", positions}};
  return std::nullopt;
}

}  // namespace ranktune
