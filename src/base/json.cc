#include "base/json.h"

#include <unordered_set>
#include <vector>

namespace ranktune {
namespace {

constexpr int kMaxDepth = 256;

}  // namespace

Json parse_json(std::string_view text, std::string_view where) {
  std::vector<std::unordered_set<std::string>> keys;  // of the objects that are open
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    require(depth <= kMaxDepth, "{}: JSON nested deeper than {} levels", where, kMaxDepth);
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      require(keys.back().insert(key).second, "{}: \"{}\" is given twice; remove one of them", where, key);
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), check);
  } catch (const Json::exception& error) {
    // Not only parse errors: a number beyond a double's range is another kind. nlohmann's text carries line,
    // column and what was expected; only its "[json.exception...]" tag is noise.
    const std::string_view what = error.what();
    const auto tag = what.find("] ");
    fail("{}: not valid JSON: {}", where, tag == what.npos ? what : what.substr(tag + 2));
  }
}

Json read_json_file(const Path& path) { return parse_json(read_file(path), path.string()); }

}  // namespace ranktune
