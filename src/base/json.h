#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/file.h"

namespace ranktune {

using Json = nlohmann::json;
/// Keeps keys in the order they were written: for files people read.
using OrderedJson = nlohmann::ordered_json;

/// Strict JSON (UTF-8, no comments). Errors name `where` and the byte position. Nesting is capped, so that
/// hostile input cannot exhaust the stack.
Json parse_json(std::string_view text, std::string_view where);
Json read_json_file(const Path& path);

/// The value at `key` of an object, converted; errors name `where`, the key, and what was found.
template <typename T>
T json_get(const Json& object, const char* key, std::string_view where) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  require(object.is_object() && found != object.end(), "{}: \"{}\" is missing", where, key);
  try {
    return found->template get<T>();
  } catch (const Json::exception&) {
    fail("{}: \"{}\" has an unexpected value: {}", where, key, found->dump().substr(0, 80));
  }
}

/// The same with a fallback for an absent or null value.
template <typename T>
T json_get_or(const Json& object, const char* key, T fallback, std::string_view where) {
  if (!object.is_object() || !object.contains(key) || object[key].is_null()) return fallback;
  return json_get<T>(object, key, where);
}

}  // namespace ranktune
