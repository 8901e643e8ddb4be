#include "base/json.h"

namespace ranktune {
namespace {

constexpr int kMaxDepth = 256;

}  // namespace

Json parse_json(std::string_view text, std::string_view where) {
  const auto limit_depth = [&](int depth, Json::parse_event_t, Json&) {
    require(depth <= kMaxDepth, "{}: JSON nested deeper than {} levels", where, kMaxDepth);
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), limit_depth);
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
