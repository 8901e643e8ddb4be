#include "data/shard_format.h"

#include <utility>

#include "base/json.h"

namespace ranktune {

std::string ShardMetadata::to_json() const {
  OrderedJson json;
  json["tokenizer_fingerprint"] = tokenizer_fingerprint;
  json["template"] = template_name;
  json["template_fingerprint"] = template_fingerprint;
  json["vocabulary"] = vocabulary;
  json["end_of_turn"] = end_of_turn;
  json["max_length"] = max_length;
  json["over_length"] = over_length;
  json["sources"] = OrderedJson::array();
  for (const Source& source : sources)
    json["sources"].push_back({{"name", source.name}, {"hash", source.hash}});
  json["counts"] = counts.empty() ? OrderedJson::object() : OrderedJson::parse(counts);
  return json.dump();
}

ShardMetadata ShardMetadata::from_json(std::string_view text, std::string_view where) {
  const Json json = parse_json(text, where);
  ShardMetadata metadata;
  metadata.tokenizer_fingerprint = json_get<std::string>(json, "tokenizer_fingerprint", where);
  metadata.template_name = json_get<std::string>(json, "template", where);
  metadata.template_fingerprint = json_get<std::string>(json, "template_fingerprint", where);
  metadata.vocabulary = json_get<std::int64_t>(json, "vocabulary", where);
  metadata.end_of_turn = json_get<std::int64_t>(json, "end_of_turn", where);
  metadata.max_length = json_get<std::int64_t>(json, "max_length", where);
  metadata.over_length = json_get<std::string>(json, "over_length", where);
  const Json sources = json_get<Json>(json, "sources", where);
  require(sources.is_array(), "{}: \"sources\" is not a list", where);
  for (const Json& source : sources) {
    metadata.sources.push_back(
        {json_get<std::string>(source, "name", where), json_get<std::string>(source, "hash", where)});
  }
  metadata.counts = json_get<Json>(json, "counts", where).dump();
  return metadata;
}

}  // namespace ranktune
