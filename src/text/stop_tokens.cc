#include "text/stop_tokens.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/json.h"

namespace ranktune {

namespace {

// What one file says about where generation ends.
struct Source {
  std::string name;
  std::vector<std::int32_t> ids;
};

class Collector {
 public:
  Collector(const Path& folder, const Tokenizer& tokenizer) : folder_(folder), tokenizer_(tokenizer) {}

  // "eos_token_id": absent, null, a number or a list of numbers.
  void add_ids(const char* file) {
    const std::optional<Json> json = read(file);
    if (!json) return;
    const std::string name = std::string(file) + " \"eos_token_id\"";
    Source source{name, {}};
    if (json->contains("eos_token_id") && !(*json)["eos_token_id"].is_null()) {
      const Json& value = (*json)["eos_token_id"];
      for (const Json& id : value.is_array() ? value : Json::array({value}))
        source.ids.push_back(checked(id, name));
    }
    // First-generation Qwen states the end of a turn by the name of its chat format.
    if (json_get_or<std::string>(*json, "chat_format", "", file) == "chatml")
      if (const auto id = tokenizer_.id_of("<|im_end|>")) source.ids.push_back(*id);
    if (!source.ids.empty()) sources_.push_back(std::move(source));
  }

  // "eos_token": a text, or an object with the text as "content".
  void add_token(const char* file) {
    const std::optional<Json> json = read(file);
    if (!json || !json->contains("eos_token") || (*json)["eos_token"].is_null()) return;
    const Json& value = (*json)["eos_token"];
    const auto token = value.is_object() ? json_get<std::string>(value, "content", file)
                                         : json_get<std::string>(*json, "eos_token", file);
    const std::optional<std::int32_t> id = tokenizer_.id_of(token);
    require(id.has_value(),
            "{}: \"eos_token\" is {}, which the tokenizer has not got; the two files are not of one model",
            (folder_ / file).string(), token);
    sources_.push_back({std::string(file) + " \"eos_token\"", {*id}});
  }

  const std::vector<Source>& sources() const { return sources_; }

 private:
  std::optional<Json> read(const char* file) const {
    if (!std::filesystem::exists(folder_ / file)) return std::nullopt;
    Json json = read_json_file(folder_ / file);
    require(json.is_object(), "{}: not a JSON object", (folder_ / file).string());
    return json;
  }

  std::int32_t checked(const Json& id, const std::string& name) const {
    const bool in_range = id.is_number_integer() && id.get<std::int64_t>() >= 0 &&
                          id.get<std::int64_t>() < tokenizer_.vocabulary_size();
    require(in_range, "{}: {} holds {}; ids of this tokenizer go from 0 to {}", folder_.string(), name,
            id.dump().substr(0, 40), tokenizer_.vocabulary_size() - 1);
    return id.get<std::int32_t>();
  }

  Path folder_;
  const Tokenizer& tokenizer_;
  std::vector<Source> sources_;
};

std::string shown(const Tokenizer& tokenizer, const std::vector<std::int32_t>& ids) {
  std::string text;
  for (const std::int32_t id : ids)
    text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", id, tokenizer.token_bytes(id));
  return text;
}

}  // namespace

StopTokens load_stop_tokens(const Path& model_folder, const Tokenizer& tokenizer,
                            const ChatTemplate& chat_template) {
  const std::optional<std::int32_t> end = tokenizer.id_of(chat_template.end_of_turn());
  require(end && tokenizer.is_special(*end),
          "{}: the chat template \"{}\" ends turns with {}, which is not a special token of the tokenizer; "
          "choose a "
          "template made for the model",
          model_folder.string(), chat_template.name(), chat_template.end_of_turn());
  Collector collector(model_folder, tokenizer);
  collector.add_ids("config.json");
  collector.add_ids("generation_config.json");
  collector.add_token("tokenizer_config.json");

  StopTokens stop{.ids = {*end}, .end_of_turn = *end};
  std::string table =
      fmt::format("\n  chat template \"{}\": {}", chat_template.name(), shown(tokenizer, {*end}));
  std::string wrong;
  for (const Source& source : collector.sources()) {
    const bool agrees = std::find(source.ids.begin(), source.ids.end(), *end) != source.ids.end();
    table += fmt::format("\n  {}: {}{}", source.name, shown(tokenizer, source.ids),
                         agrees ? "" : "   <- not among them");
    if (!agrees) wrong += (wrong.empty() ? "" : " and ") + source.name;
    stop.ids.insert(stop.ids.end(), source.ids.begin(), source.ids.end());
  }
  require(wrong.empty(),
          "{}: the files do not agree on the token that ends an answer, so an answer could run on past its "
          "end:{}\n"
          "Put {} into {}, or choose the chat template whose end of turn they name.",
          model_folder.string(), table, shown(tokenizer, {*end}), wrong);
  std::sort(stop.ids.begin(), stop.ids.end());
  stop.ids.erase(std::unique(stop.ids.begin(), stop.ids.end()), stop.ids.end());
  return stop;
}

}  // namespace ranktune
