#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "text/byte_alphabet.h"
#include "text/vocabulary.h"

namespace ranktune {

namespace {

constexpr std::uint64_t kMaxFileBytes = std::uint64_t{1} << 28;
/// Ids without a token that a vocabulary may have: memory goes by the largest id, so one id in a small file
/// must not decide it.
constexpr std::int64_t kMaxHoles = 1 << 16;

std::string shown(std::string_view text) {
  return Json(std::string(text.substr(0, 40))).dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Reads one tokenizer.json section by section into a Vocabulary.
class Reader {
 public:
  explicit Reader(const Path& file) : where_(file.string()) {
    json_ = parse_json(read_file(file, kMaxFileBytes), where_);
    require(json_.is_object(),
            "{}: not a JSON object; a tokenizer.json of the `tokenizers` library is needed", where_);
  }

  Vocabulary read() {
    model_ = section("model");
    limit_ids();
    check_model();
    check_decoder();
    read_tokens();
    read_added_tokens();
    std::vector<BytePairModel::Merge> merges = read_merges();
    const BytePairModel::Options options = read_options();
    const Normalisation normalisation = read_normaliser();
    const Json splitting = section("pre_tokenizer");
    std::string description = Json{{"normalizer", normalisation == Normalisation::kNfc},
                                   {"pre_tokenizer", splitting},
                                   {"whole_words_first", options.whole_words_first},
                                   {"unknown", {options.unknown_id, options.fuse_unknown}}}
                                  .dump(-1, ' ', false, Json::error_handler_t::replace);
    return {.token_bytes = std::move(token_bytes_),
            .added = std::move(added_),
            .byte_ids = byte_ids(),
            .merges = std::move(merges),
            .options = options,
            .normalisation = normalisation,
            .pre_tokenizer = PreTokenizer(splitting, where_),
            .description = std::move(description)};
  }

 private:
  Json section(const char* name) {
    const auto found = json_.find(name);
    require(found != json_.end(), "{}: \"{}\" is missing", where_, name);
    return std::move(*found);
  }

  void check_model() const {
    require(model_.is_object(), "{}: \"model\" is not an object", where_);
    const auto type = json_get_or<std::string>(model_, "type", "BPE", where_);
    require(type == "BPE", "{}: a model of type \"{}\" is not supported; supported is byte-level BPE", where_,
            type);
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
      require(json_get_or<std::string>(model_, key, "", where_).empty(),
              "{}: \"{}\" is set, which is not supported; supported is byte-level BPE without affixes",
              where_, key);
    require(!json_get_or<bool>(model_, "byte_fallback", false, where_),
            "{}: \"byte_fallback\" is not supported; supported is byte-level BPE", where_);
    require(json_get_or<double>(model_, "dropout", 0.0, where_) == 0.0,
            "{}: \"dropout\" in the merges is not supported; set it to null", where_);
  }

  void check_decoder() {
    const Json decoder = section("decoder");
    const auto is_byte_level = [&](const Json& one) {
      return one.is_object() && json_get<std::string>(one, "type", where_) == "ByteLevel";
    };
    bool supported = is_byte_level(decoder);
    if (!supported && decoder.is_object() && decoder.contains("decoders") && decoder["decoders"].is_array())
      supported = decoder["decoders"].size() == 1 && is_byte_level(decoder["decoders"][0]);
    require(supported, "{}: the decoder is {}; supported is ByteLevel", where_, decoder.dump().substr(0, 60));
  }

  void limit_ids() {
    const auto count = [](const Json& object, const char* key) {
      const auto found = object.is_object() ? object.find(key) : object.end();
      return object.is_object() && found != object.end() ? static_cast<std::int64_t>(found->size()) : 0;
    };
    id_limit_ = std::min(kMaxVocabulary, count(model_, "vocab") + count(json_, "added_tokens") + kMaxHoles);
  }

  // Errors are put together only where they are thrown: these run for every token and merge.
  std::int32_t read_id(const Json& value, const std::string& token) const {
    if (!value.is_number_integer()) {
      fail("{}: the id of token {} is {}, not an integer", where_, shown(token), value.dump().substr(0, 40));
    }
    const bool fits = value.is_number_unsigned()
                          ? value.get<std::uint64_t>() < static_cast<std::uint64_t>(id_limit_)
                          : value.get<std::int64_t>() >= 0 && value.get<std::int64_t>() < id_limit_;
    if (!fits) {
      fail("{}: the id of token {} is {}; ids of a vocabulary of this size go from 0 to {}", where_,
           shown(token), value.dump(), id_limit_ - 1);
    }
    return value.get<std::int32_t>();
  }

  void reserve_id(std::int32_t id) {
    const auto size = static_cast<std::size_t>(id) + 1;
    if (token_bytes_.size() < size) {
      token_bytes_.resize(size);
      taken_.resize(size, false);
    }
  }

  void read_tokens() {
    const auto found = model_.find("vocab");
    require(found != model_.end() && found->is_object() && !found->empty(),
            "{}: \"model\".\"vocab\" is missing, empty or not an object", where_);
    ids_.reserve(found->size());
    for (const auto& [token, value] : found->get_ref<const Json::object_t&>()) {
      const std::int32_t id = read_id(value, token);
      reserve_id(id);
      const auto index = static_cast<std::size_t>(id);
      if (taken_[index]) fail("{}: id {} is given to two tokens, one of them {}", where_, id, shown(token));
      taken_[index] = true;
      ids_.emplace(token, id);
      token_bytes_[index] = bytes_of_symbols(token).value_or(token);
    }
  }

  void read_added_tokens() {
    const auto found = json_.find("added_tokens");
    if (found == json_.end() || found->is_null()) return;
    require(found->is_array(), "{}: \"added_tokens\" is not a list", where_);
    for (const Json& entry : *found) added_.push_back(read_added_token(entry));
    std::sort(added_.begin(), added_.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    for (std::size_t i = 1; i < added_.size(); ++i)
      require(added_[i - 1].id != added_[i].id, "{}: two added tokens have id {}: {} and {}", where_,
              added_[i].id, shown(added_[i - 1].content), shown(added_[i].content));
  }

  AddedToken read_added_token(const Json& entry) {
    AddedToken token{.content = json_get<std::string>(entry, "content", where_)};
    require(!token.content.empty(), "{}: an added token has an empty \"content\"", where_);
    token.id = read_id(json_get<Json>(entry, "id", where_), token.content);
    token.special = json_get_or<bool>(entry, "special", false, where_);
    token.normalized = json_get_or<bool>(entry, "normalized", !token.special, where_);
    token.lstrip = json_get_or<bool>(entry, "lstrip", false, where_);
    token.rstrip = json_get_or<bool>(entry, "rstrip", false, where_);
    require(!json_get_or<bool>(entry, "single_word", false, where_),
            "{}: the added token {} has \"single_word\", which is not supported", where_,
            shown(token.content));
    reserve_id(token.id);
    const auto index = static_cast<std::size_t>(token.id);
    const auto ordinary = ids_.find(token.content);
    require(ordinary == ids_.end() || ordinary->second == token.id,
            "{}: the added token {} has id {}, but \"vocab\" gives it {}", where_, shown(token.content),
            token.id, ordinary == ids_.end() ? 0 : ordinary->second);
    require(ordinary != ids_.end() || !taken_[index],
            "{}: the added token {} has id {}, which is another token's", where_, shown(token.content),
            token.id);
    taken_[index] = true;
    token_bytes_[index] = token.content;
    return token;
  }

  std::int32_t merge_part(std::string_view token, std::size_t index) const {
    const auto found = ids_.find(token);
    if (found == ids_.end())
      fail("{}: merge {} names {}, which is not in \"vocab\"", where_, index, shown(token));
    return found->second;
  }

  std::vector<BytePairModel::Merge> read_merges() const {
    const auto found = model_.find("merges");
    require(found != model_.end() && found->is_array(), "{}: \"model\".\"merges\" is missing or not a list",
            where_);
    std::vector<BytePairModel::Merge> merges;
    merges.reserve(found->size());
    std::string merged;
    for (const Json& entry : *found) {
      const std::size_t index = merges.size();
      const auto [left, right] = split_merge(entry, index);
      merged.assign(left).append(right);
      const std::int32_t left_id = merge_part(left, index), right_id = merge_part(right, index);
      merges.push_back({left_id, right_id, merge_part(merged, index)});
    }
    return merges;
  }

  // "a b" or ["a", "b"]; the views are into `entry`.
  std::pair<std::string_view, std::string_view> split_merge(const Json& entry, std::size_t index) const {
    if (entry.is_string()) {
      const std::string_view text = entry.get_ref<const std::string&>();
      const std::size_t space = text.find(' ');
      if (space != std::string_view::npos && text.find(' ', space + 1) == std::string_view::npos)
        return {text.substr(0, space), text.substr(space + 1)};
    } else if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string()) {
      return {entry[0].get_ref<const std::string&>(), entry[1].get_ref<const std::string&>()};
    }
    fail("{}: merge {} is {}; two tokens, \"a b\" or [\"a\", \"b\"], are needed", where_, index,
         entry.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 60));
  }

  BytePairModel::Options read_options() const {
    BytePairModel::Options options{
        .whole_words_first = json_get_or<bool>(model_, "ignore_merges", false, where_),
        .fuse_unknown = json_get_or<bool>(model_, "fuse_unk", false, where_)};
    const auto unknown = json_get_or<std::string>(model_, "unk_token", "", where_);
    if (unknown.empty()) return options;
    const auto found = ids_.find(unknown);
    require(found != ids_.end(), "{}: \"unk_token\" {} is not in \"vocab\"", where_, shown(unknown));
    options.unknown_id = found->second;
    return options;
  }

  Normalisation read_normaliser() {
    const auto found = json_.find("normalizer");
    if (found == json_.end() || found->is_null()) return Normalisation::kNone;
    std::vector<Json> steps;
    if (json_get<std::string>(*found, "type", where_) == "Sequence") {
      steps = json_get<std::vector<Json>>(*found, "normalizers", where_);
    } else {
      steps.push_back(*found);
    }
    for (const Json& step : steps) {
      const auto type = json_get<std::string>(step, "type", where_);
      require(type == "NFC", "{}: a normaliser of type \"{}\" is not supported; supported are NFC and none",
              where_, type);
    }
    return steps.empty() ? Normalisation::kNone : Normalisation::kNfc;
  }

  std::array<std::int32_t, 256> byte_ids() const {
    std::array<std::int32_t, 256> byte_ids{};
    std::size_t known = 0;
    for (std::size_t byte = 0; byte < byte_ids.size(); ++byte) {
      const auto found = ids_.find(byte_symbol(static_cast<unsigned char>(byte)));
      byte_ids[byte] = found == ids_.end() ? -1 : found->second;
      known += found != ids_.end();
    }
    require(known > 0, "{}: \"vocab\" has no token for any single byte, so this is not byte-level BPE",
            where_);
    return byte_ids;
  }

  std::string where_;
  Json json_, model_;
  std::int64_t id_limit_ = 0;
  std::vector<std::string> token_bytes_;
  std::vector<bool> taken_;
  std::unordered_map<std::string_view, std::int32_t> ids_;  // "vocab", as written; views into model_
  std::vector<AddedToken> added_;
};

}  // namespace

Vocabulary read_tokenizer_json(const Path& file) { return Reader(file).read(); }

}  // namespace ranktune
