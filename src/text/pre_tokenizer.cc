#include "text/pre_tokenizer.h"

#include <utility>

#include "text/unicode.h"

namespace ranktune {

namespace {

constexpr std::string_view kSupported =
    "supported are ByteLevel, and a Sequence of Split, Digits and ByteLevel (byte-level BPE tokenizers)";

void split_digits(bool individual, std::string_view text, std::size_t base, std::vector<std::size_t>& ends) {
  const std::uint8_t* classes = char_classes();
  bool previous = false;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    const bool digit = (classes[c.value] & kLoneDigit) != 0;
    if (at > 0 && (digit != previous || (digit && individual))) ends.push_back(base + at);
    previous = digit;
    at += c.bytes;
  }
  if (!text.empty()) ends.push_back(base + text.size());
}

}  // namespace

PreTokenizer::PreTokenizer(KnownPattern pattern) : byte_level_(true) { stages_.emplace_back(pattern); }

PreTokenizer::PreTokenizer(const Json& description, std::string_view where) {
  require(description.is_object(), "{}: \"pre_tokenizer\" is {}; {}", where, description.dump().substr(0, 40),
          kSupported);
  if (json_get<std::string>(description, "type", where) == "Sequence") {
    const Json list = json_get<Json>(description, "pretokenizers", where);
    require(list.is_array(), "{}: \"pretokenizers\" is not a list", where);
    for (const Json& item : list) add_stage(item, where);
  } else {
    add_stage(description, where);
  }
  require(byte_level_, "{}: no pre-tokeniser of type ByteLevel; {}", where, kSupported);
}

void PreTokenizer::add_stage(const Json& description, std::string_view where) {
  require(!byte_level_, "{}: a pre-tokeniser after ByteLevel; {}", where, kSupported);
  const auto type = json_get<std::string>(description, "type", where);
  if (type == "Split") {
    add_split(description, where);
  } else if (type == "Digits") {
    stages_.emplace_back(Digits{json_get_or<bool>(description, "individual_digits", false, where)});
  } else if (type == "ByteLevel") {
    require(!json_get_or<bool>(description, "add_prefix_space", true, where),
            "{}: ByteLevel with \"add_prefix_space\" true is not supported", where);
    if (json_get_or<bool>(description, "use_regex", true, where)) stages_.emplace_back(KnownPattern::kGpt2);
    byte_level_ = true;
  } else {
    fail("{}: a pre-tokeniser of type \"{}\"; {}", where, type, kSupported);
  }
}

void PreTokenizer::add_split(const Json& description, std::string_view where) {
  const Json pattern = json_get<Json>(description, "pattern", where);
  const auto expression = json_get<std::string>(pattern, "Regex", where);
  const auto behavior = json_get<std::string>(description, "behavior", where);
  const bool invert = json_get_or<bool>(description, "invert", false, where);
  const std::optional<KnownPattern> known = recognise_pattern(expression);
  // A known pattern leaves no gaps, so dropping what lies between its matches drops nothing.
  require((behavior == "Isolated" && !invert) || (behavior == "Removed" && invert && known),
          "{}: Split with \"behavior\" {} and \"invert\" {} is not supported; supported is Isolated, false",
          where, behavior, invert);
  if (known) {
    stages_.emplace_back(*known);
  } else {
    stages_.emplace_back(RegexSplitter(expression, where));
  }
}

void PreTokenizer::apply(const Stage& stage, std::string_view text, std::size_t base,
                         std::vector<std::size_t>& ends) {
  if (const auto* pattern = std::get_if<KnownPattern>(&stage)) {
    scan_pattern(*pattern, text, base, ends);
  } else if (const auto* digits = std::get_if<Digits>(&stage)) {
    split_digits(digits->individual, text, base, ends);
  } else {
    std::get<RegexSplitter>(stage).split(text, base, ends);
  }
}

void PreTokenizer::split(std::string_view text, std::vector<std::size_t>& ends) const {
  if (text.empty()) return;
  if (stages_.size() == 1) return apply(stages_.front(), text, 0, ends);
  std::vector<std::size_t> pieces{text.size()};
  for (const Stage& stage : stages_) {
    std::vector<std::size_t> next;
    std::size_t begin = 0;
    for (const std::size_t end : pieces) {
      apply(stage, text.substr(begin, end - begin), begin, next);
      begin = end;
    }
    pieces = std::move(next);
  }
  ends.insert(ends.end(), pieces.begin(), pieces.end());
}

}  // namespace ranktune
