#include "text/stop_tokens.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"

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

// Whether two templates write the same turns, their default system texts aside.
bool same_turns(const ChatTemplate& one, const ChatTemplate& other) {
  const std::array<Message, 5> sample{
      {{"system", "s"}, {"user", "q"}, {"assistant", "a"}, {"user", "r"}, {"assistant", "b"}}};
  return one.render_text(sample, false) == other.render_text(sample, false);
}

// The sources as a table, and what is to be done about those that contradict the chosen template.
struct Comparison {
  std::string table, remedies;

  void add(const std::string& name, const std::string& value, const char* contradiction) {
    table +=
        fmt::format("\n  {}: {}{}{}", name, value, *contradiction == '\0' ? "" : "   <- ", contradiction);
  }
};

Comparison compare(const Path& folder, const Tokenizer& tokenizer, const ChatTemplate& chosen,
                   std::int32_t end, const std::vector<Source>& sources) {
  Comparison result;
  const std::string end_text = shown(tokenizer, {end});
  result.add(fmt::format("chat template \"{}\"", chosen.name()), end_text, "");
  if (const std::optional<ChatTemplate> own = ChatTemplate::find_own(folder)) {
    const bool agrees = same_turns(*own, chosen);
    if (own->name() != chosen.name() || !agrees)
      result.add(fmt::format("the model's own chat template \"{}\"", own->name()), own->end_of_turn(),
                 agrees ? "" : "writes turns in another way");
    if (!agrees) result.remedies += "\nSet the template to \"auto\", which takes the model's own.";
  }
  std::string wrong;
  for (const Source& source : sources) {
    const bool agrees = std::find(source.ids.begin(), source.ids.end(), end) != source.ids.end();
    result.add(source.name, shown(tokenizer, source.ids), agrees ? "" : "not among them");
    if (!agrees) wrong += (wrong.empty() ? "" : " and ") + source.name;
  }
  if (!wrong.empty())
    result.remedies += fmt::format(
        "\nPut {} into {}, or choose the chat template whose end of turn they name.", end_text, wrong);
  return result;
}

}  // namespace

StopTokens load_stop_tokens(const Path& model_folder, const Tokenizer& tokenizer,
                            const ChatTemplate& chat_template, TemplateMismatch mismatch) {
  const std::optional<std::int32_t> end = tokenizer.id_of(chat_template.end_of_turn());
  require(end && tokenizer.is_special(*end),
          "{}: the chat template \"{}\" ends turns with {}, which is not a special token of the tokenizer; "
          "choose a template made for the model",
          model_folder.string(), chat_template.name(), chat_template.end_of_turn());
  Collector collector(model_folder, tokenizer);
  collector.add_ids("config.json");
  collector.add_ids("generation_config.json");
  collector.add_token("tokenizer_config.json");

  const Comparison found = compare(model_folder, tokenizer, chat_template, *end, collector.sources());
  const std::string what = fmt::format(
      "{}: the chat template and the model's files do not agree on how an answer is written and which token "
      "ends it, so a trained model could run on past its end:{}",
      model_folder.string(), found.table);
  require(found.remedies.empty() || mismatch == TemplateMismatch::kWarn,
          "{}{}\nTo go on all the same, say --allow-template-mismatch.", what, found.remedies);
  if (!found.remedies.empty()) log_warning("{}\nGoing on all the same.", what);

  StopTokens stop{.ids = {*end}, .end_of_turn = *end};
  for (const Source& source : collector.sources())
    stop.ids.insert(stop.ids.end(), source.ids.begin(), source.ids.end());
  std::sort(stop.ids.begin(), stop.ids.end());
  stop.ids.erase(std::unique(stop.ids.begin(), stop.ids.end()), stop.ids.end());
  return stop;
}

}  // namespace ranktune
