#include "storage/gguf_tokenizer.h"

#include <array>
#include <unordered_set>
#include <vector>

#include "base/error.h"
#include "storage/gguf_format.h"

namespace ranktune {
namespace {

/// How a family's tokenizer.json is put together around its vocabulary, as published by the family's authors.
struct Recipe {
  std::string_view pre;              ///< tokenizer.ggml.pre
  std::string_view tokenizer_class;  ///< for tokenizer_config.json
  bool added_in_vocab;               ///< the model's vocabulary lists the added tokens, too
  bool ignore_merges;                ///< a piece that is a token needs no merges
  bool bos_by_default;               ///< where the file does not say tokenizer.ggml.add_bos_token
  bool names_bos;                    ///< tokenizer_config.json has a bos_token
  std::string_view normalizer, pre_tokenizer, decoder;  ///< JSON
};

constexpr std::string_view kNoNormalizer = "null";
constexpr std::string_view kGpt2Decoder =
    R"({"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true})";

constexpr std::array kRecipes{
    Recipe{"smollm", "GPT2Tokenizer", true, false, false, true, kNoNormalizer,
           R"({"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},)"
           R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}]})",
           kGpt2Decoder},
    Recipe{"gpt-2", "GPT2Tokenizer", true, false, false, true, kNoNormalizer,
           R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true})",
           kGpt2Decoder},
    Recipe{
        "qwen2", "Qwen2Tokenizer", false, false, false, false, R"({"type":"NFC"})",
        R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":)"
        R"("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|)"
        R"( ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},"behavior":"Isolated","invert":false},)"
        R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":false,"use_regex":false}]})",
        R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":false,"use_regex":false})"},
    Recipe{
        "llama-bpe", "PreTrainedTokenizerFast", false, true, true, true, kNoNormalizer,
        R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":)"
        R"("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|)"
        R"( ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},"behavior":"Isolated","invert":false},)"
        R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]})",
        kGpt2Decoder},
};

std::string known_pre_tokenizers() {
  std::string known;
  for (const Recipe& recipe : kRecipes) known += fmt::format("{}{}", known.empty() ? "" : ", ", recipe.pre);
  return known;
}

const Recipe& find_recipe(const GgufFile& file) {
  const std::string_view model = file.get_string("tokenizer.ggml.model");
  require(model == "gpt2", "{}: tokenizer \"{}\" is not supported; byte-level BPE (\"gpt2\") is",
          file.where(), model);
  const std::string_view pre = file.get_string("tokenizer.ggml.pre");
  for (const Recipe& recipe : kRecipes)
    if (recipe.pre == pre) return recipe;
  fail("{}: pre-tokenizer \"{}\" is not supported; supported are {}", file.where(), pre,
       known_pre_tokenizers());
}

/// Without what changes no ids.
Json without_offsets(Json pre_tokenizer) {
  if (pre_tokenizer.is_object()) pre_tokenizer.erase("trim_offsets");
  if (pre_tokenizer.is_structured())
    for (Json& part : pre_tokenizer) part = without_offsets(std::move(part));
  return pre_tokenizer;
}

/// A text as a JSON string.
std::string quoted(std::string_view text, const std::string& where, std::string_view what) {
  try {
    return Json(text).dump();
  } catch (const Json::exception&) {
    fail("{}: {} is not UTF-8 text: {}", where, what,
         Json(text.substr(0, 80)).dump(-1, ' ', false, Json::error_handler_t::replace));
  }
}

/// The token list with the types that matter.
struct Tokens {
  std::vector<std::string_view> texts;
  std::vector<std::int64_t> types;

  bool is(std::size_t id, GgufToken type) const { return types[id] == static_cast<std::int64_t>(type); }
  bool is_special(std::size_t id) const { return is(id, GgufToken::kControl) || is(id, GgufToken::kUnknown); }
  bool is_added(std::size_t id) const { return is_special(id) || is(id, GgufToken::kUserDefined); }
};

Tokens read_tokens(const GgufFile& file) {
  Tokens tokens{file.get_strings("tokenizer.ggml.tokens"), file.get_ints("tokenizer.ggml.token_type")};
  require(!tokens.texts.empty() && tokens.texts.size() == tokens.types.size(),
          "{}: {} tokens and {} token types; there must be as many", file.where(), tokens.texts.size(),
          tokens.types.size());
  return tokens;
}

std::optional<std::int64_t> read_id(const GgufFile& file, const Tokens& tokens, std::string_view name) {
  const std::string key = fmt::format("tokenizer.ggml.{}_token_id", name);
  if (!file.has(key)) return std::nullopt;
  const std::int64_t id = file.get_int(key);
  require(id >= 0 && static_cast<std::uint64_t>(id) < tokens.texts.size(),
          "{}: metadata \"{}\" is {}, but there are {} tokens", file.where(), key, id, tokens.texts.size());
  return id;
}

std::string added_tokens_json(const Tokens& tokens) {
  OrderedJson list = OrderedJson::array();
  for (std::size_t id = 0; id < tokens.texts.size(); ++id)
    if (tokens.is_added(id))
      list.push_back({{"id", id},
                      {"content", tokens.texts[id]},
                      {"single_word", false},
                      {"lstrip", false},
                      {"rstrip", false},
                      {"normalized", false},
                      {"special", tokens.is_special(id)}});
  return list.dump();
}

/// {"text":id,…} in the order of the ids, and `texts` filled with the texts that are in it.
std::string vocabulary_json(const GgufFile& file, const Tokens& tokens, const Recipe& recipe,
                            std::unordered_set<std::string_view>& texts) {
  std::unordered_set<std::string_view> all;
  std::string json = "{";
  for (std::size_t id = 0; id < tokens.texts.size(); ++id) {
    if (tokens.is(id, GgufToken::kUnused)) continue;
    const std::string text = quoted(tokens.texts[id], file.where(), fmt::format("token {}", id));
    require(all.insert(tokens.texts[id]).second, "{}: token {} ({}) has the text of another one",
            file.where(), id, text);
    if (tokens.is_added(id) && !recipe.added_in_vocab) continue;
    texts.insert(tokens.texts[id]);
    json += fmt::format("{}{}:{}", json.size() == 1 ? "" : ",", text, id);
  }
  return json + "}";
}

/// [["a","b"],…]; the file has them as "a b".
std::string merges_json(const GgufFile& file, const std::unordered_set<std::string_view>& texts) {
  std::string json = "[", result;
  for (const std::string_view merge : file.get_strings("tokenizer.ggml.merges")) {
    const std::size_t space = merge.find(' ', 1);
    require(space != merge.npos, "{}: merge \"{}\" has no two parts", file.where(), merge);
    const std::string_view left = merge.substr(0, space), right = merge.substr(space + 1);
    result.assign(left).append(right);
    require(texts.contains(left) && texts.contains(right) && texts.contains(result),
            "{}: merge \"{}\" joins or makes something that is not a token", file.where(), merge);
    json += fmt::format("{}[{},{}]", json.size() == 1 ? "" : ",", quoted(left, file.where(), "a merge"),
                        quoted(right, file.where(), "a merge"));
  }
  return json + "]";
}

/// Puts the first token before every text, where the file asks for it.
std::string post_processor_json(const GgufFile& file, const Tokens& tokens, const Recipe& recipe,
                                std::optional<std::int64_t> bos) {
  const auto flag = [&](std::string_view key, bool fallback) {
    return file.has(key) ? file.get_bool(key) : fallback;
  };
  require(
      !flag("tokenizer.ggml.add_eos_token", false),
      "{}: metadata \"tokenizer.ggml.add_eos_token\" is true: an end token after every text is not supported",
      file.where());
  if (!flag("tokenizer.ggml.add_bos_token", recipe.bos_by_default)) return "null";
  require(bos.has_value(),
          "{}: metadata \"tokenizer.ggml.bos_token_id\" is missing, but texts begin with that token",
          file.where());
  const std::string text(tokens.texts[static_cast<std::size_t>(*bos)]);
  const auto special = [&](int type) {
    return OrderedJson{{"SpecialToken", {{"id", text}, {"type_id", type}}}};
  };
  const auto sequence = [](const char* id, int type) {
    return OrderedJson{{"Sequence", {{"id", id}, {"type_id", type}}}};
  };
  OrderedJson processor{{"type", "TemplateProcessing"}};
  processor["single"] = OrderedJson::array({special(0), sequence("A", 0)});
  processor["pair"] = OrderedJson::array({special(0), sequence("A", 0), special(1), sequence("B", 1)});
  processor["special_tokens"][text] = {
      {"id", text}, {"ids", OrderedJson::array({*bos})}, {"tokens", OrderedJson::array({text})}};
  return processor.dump();
}

Json tokenizer_config(const Tokens& tokens, const Recipe& recipe, const GgufTokenizer& ids,
                      std::optional<std::int64_t> unknown) {
  const auto text = [&](std::optional<std::int64_t> id) {
    return id ? Json(tokens.texts[static_cast<std::size_t>(*id)]) : Json(nullptr);
  };
  Json config{{"tokenizer_class", recipe.tokenizer_class},
              {"bos_token", recipe.names_bos ? text(ids.bos) : Json(nullptr)},
              {"eos_token", text(ids.eos)},
              {"pad_token", text(ids.pad)},
              {"unk_token", text(unknown)},
              {"clean_up_tokenization_spaces", false}};
  if (!ids.chat_template.empty()) config["chat_template"] = ids.chat_template;
  return config;
}

}  // namespace

GgufTokenizer read_gguf_tokenizer(const GgufFile& file) {
  const Recipe& recipe = find_recipe(file);
  const Tokens tokens = read_tokens(file);
  GgufTokenizer tokenizer;
  tokenizer.pre_tokenizer = recipe.pre;
  tokenizer.ids = tokens.texts.size();
  for (std::size_t id = 0; id < tokens.types.size(); ++id)
    if (!tokens.is(id, GgufToken::kUnused)) ++tokenizer.tokens;
  tokenizer.bos = read_id(file, tokens, "bos");
  tokenizer.eos = read_id(file, tokens, "eos");
  tokenizer.pad = read_id(file, tokens, "padding");
  tokenizer.eot = read_id(file, tokens, "eot");
  require(tokenizer.eos.has_value(), "{}: metadata \"tokenizer.ggml.eos_token_id\" is missing", file.where());
  if (file.has("tokenizer.chat_template"))
    tokenizer.chat_template = file.get_string("tokenizer.chat_template");
  quoted(tokenizer.chat_template, file.where(), "the chat template");

  std::unordered_set<std::string_view> texts;
  const std::string vocabulary = vocabulary_json(file, tokens, recipe, texts);
  tokenizer.tokenizer_json = fmt::format(
      R"({{"version":"1.0","truncation":null,"padding":null,"added_tokens":{},"normalizer":{},"pre_tokenizer":{},)"
      R"("post_processor":{},"decoder":{},"model":{{"type":"BPE","dropout":null,"unk_token":null,)"
      R"("continuing_subword_prefix":"","end_of_word_suffix":"","fuse_unk":false,"byte_fallback":false,)"
      R"("ignore_merges":{},"vocab":{},"merges":{}}}}})",
      added_tokens_json(tokens), recipe.normalizer, recipe.pre_tokenizer,
      post_processor_json(file, tokens, recipe, tokenizer.bos), recipe.decoder, recipe.ignore_merges,
      vocabulary, merges_json(file, texts));
  tokenizer.config = tokenizer_config(tokens, recipe, tokenizer, read_id(file, tokens, "unknown"));
  return tokenizer;
}

std::string gguf_pre_tokenizer(const Json& tokenizer_json, const std::string& where) {
  const Json splitting = without_offsets(tokenizer_json.value("pre_tokenizer", Json()));
  const Json model = tokenizer_json.value("model", Json::object());
  const bool ignore_merges = json_get_or<bool>(model, "ignore_merges", false, where);
  for (const Recipe& recipe : kRecipes)
    if (recipe.ignore_merges == ignore_merges &&
        without_offsets(Json::parse(recipe.pre_tokenizer)) == splitting)
      return std::string(recipe.pre);
  fail("{}: its \"pre_tokenizer\" has no name in GGUF that is known here; known are those of {}", where,
       known_pre_tokenizers());
}

}  // namespace ranktune
