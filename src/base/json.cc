#include "base/json.h"

#include <unordered_set>
#include <vector>

namespace ranktune {
namespace {

constexpr int kMaxDepth = 256;

/// Looks at the structure alone. A pass of its own because nlohmann's parser with a callback looks through
/// all members of an object or list whenever one of them ends: quadratic in their number.
class StructureCheck : public nlohmann::json_sax<Json> {
 public:
  StructureCheck(int max_depth, std::string_view where) : max_depth_(max_depth), where_(where) {}

  bool start_object(std::size_t) override {
    deeper();
    keys_.emplace_back();
    return true;
  }
  bool key(string_t& key) override {
    if (!keys_.back().insert(key).second) fail("{}: \"{}\" is given twice; remove one of them", where_, key);
    return true;
  }
  bool end_object() override {
    --depth_;
    keys_.pop_back();
    return true;
  }
  bool start_array(std::size_t) override {
    deeper();
    return true;
  }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool parse_error(std::size_t, const std::string&, const Json::exception&) override { return false; }

 private:
  void deeper() {
    if (++depth_ > max_depth_) fail("{}: JSON nested deeper than {} levels", where_, max_depth_);
  }

  const int max_depth_;
  const std::string_view where_;
  int depth_ = 0;
  std::vector<std::unordered_set<std::string>> keys_;  ///< of the objects that are open
};

}  // namespace

void check_json_structure(std::string_view text, int max_depth, std::string_view where) {
  StructureCheck check(max_depth, where);
  Json::sax_parse(text.begin(), text.end(), &check);
}

Json parse_json(std::string_view text, std::string_view where) {
  check_json_structure(text, kMaxDepth, where);
  try {
    return Json::parse(text.begin(), text.end());
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
