#include "text/pattern_scanner.h"

#include <array>
#include <cstdint>
#include <utility>

#include "text/unicode.h"

namespace ranktune {

const std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
const std::string_view kOneDigitPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

namespace {

constexpr std::string_view kThreeDigitsPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::uint8_t kWordOrSpace = kLetter | kNumber | kSpace;

// Walks one text. Positions are byte offsets at character borders; class 0 beyond the end is told apart by
// at_end.
class Scanner {
 public:
  Scanner(KnownPattern pattern, std::string_view text)
      : pattern_(pattern), text_(text), classes_(char_classes()) {}

  // The end of the match that begins at `at` (which is before the text's end).
  std::size_t match_end(std::size_t at) const {
    const CodePoint first = code_point_at(text_, at);
    if (first.value == '\'') {
      if (const std::size_t length = contraction(at); length != 0) return at + length;
    }
    return pattern_ == KnownPattern::kGpt2 ? match_gpt2(at, first) : match_digits(at, first);
  }

 private:
  struct Character {
    std::size_t end;
    std::uint8_t kind;
  };

  Character read(std::size_t at) const {
    const CodePoint c = code_point_at(text_, at);
    return {at + c.bytes, classes_[c.value]};
  }

  // The end of the longest run of characters that have a bit of `mask` (or, inverted, none), from `at`.
  template <bool kInverted>
  std::size_t run(std::size_t at, std::uint8_t mask) const {
    while (at < text_.size()) {
      const Character c = read(at);
      if (((c.kind & mask) != 0) == kInverted) break;
      at = c.end;
    }
    return at;
  }

  // Bytes of 's, 't, 're, 've, 'm, 'll or 'd at `at`, or 0. Any case but in GPT-2's pattern; the long s
  // (U+017F) is an s under case folding.
  std::size_t contraction(std::size_t at) const {
    const std::string_view rest = text_.substr(at + 1, 2);
    const bool any_case = pattern_ != KnownPattern::kGpt2;
    const auto letter = [&](std::size_t i) -> char {
      if (i >= rest.size()) return '\0';
      return any_case && rest[i] >= 'A' && rest[i] <= 'Z' ? static_cast<char>(rest[i] - 'A' + 'a') : rest[i];
    };
    switch (letter(0)) {
      case 's':
      case 't':
      case 'm':
      case 'd':
        return 2;
      case 'r':
      case 'v':
        return letter(1) == 'e' ? 3 : 0;
      case 'l':
        return letter(1) == 'l' ? 3 : 0;
      default:
        return any_case && rest == "\u017F" ? 3 : 0;
    }
  }

  std::size_t match_gpt2(std::size_t at, CodePoint first) const {
    std::uint8_t kind = classes_[first.value];
    std::size_t begin = at + first.bytes;
    if (first.value == ' ') {
      if (begin == text_.size()) return begin;
      const Character next = read(begin);
      if ((next.kind & kSpace) != 0) return spaces(at);
      kind = next.kind;
      begin = next.end;
    }
    if ((kind & kLetter) != 0) return run<false>(begin, kLetter);
    if ((kind & kNumber) != 0) return run<false>(begin, kNumber);
    if ((kind & kSpace) != 0) return spaces(at);
    return run<true>(begin, kWordOrSpace);
  }

  std::size_t match_digits(std::size_t at, CodePoint first) const {
    const std::uint8_t kind = classes_[first.value];
    const std::size_t second = at + first.bytes;
    if ((kind & kLetter) != 0) return run<false>(second, kLetter);
    if ((kind & kNumber) != 0) return numerals(second);
    const bool at_end = second == text_.size();
    const Character next = at_end ? Character{second, 0} : read(second);
    if ((kind & kNewline) == 0 && (next.kind & kLetter) != 0) return run<false>(next.end, kLetter);
    if ((kind & kSpace) == 0) return others(second);
    if (first.value == ' ' && !at_end && (next.kind & kWordOrSpace) == 0) return others(next.end);
    return spaces_and_newlines(at);
  }

  std::size_t numerals(std::size_t at) const {
    const int limit = pattern_ == KnownPattern::kThreeDigits ? 3 : 1;
    for (int count = 1; count < limit && at < text_.size(); ++count) {
      const Character c = read(at);
      if ((c.kind & kNumber) == 0) break;
      at = c.end;
    }
    return at;
  }

  // [^\s\p{L}\p{N}]*[\r\n]*
  std::size_t others(std::size_t at) const { return run<false>(run<true>(at, kWordOrSpace), kNewline); }

  // \s*[\r\n]+|\s+(?!\S)|\s+ : up to the last line break of the white space, else as spaces().
  std::size_t spaces_and_newlines(std::size_t at) const {
    std::size_t last_newline = 0;
    for (std::size_t p = at; p < text_.size();) {
      const Character c = read(p);
      if ((c.kind & kSpace) == 0) break;
      p = c.end;
      if ((c.kind & kNewline) != 0) last_newline = p;
    }
    return last_newline != 0 ? last_newline : spaces(at);
  }

  // \s+(?!\S)|\s+ : all white space, but its last character where more than one are followed by something
  // else.
  std::size_t spaces(std::size_t at) const {
    std::size_t end = at, before_last = at;
    while (end < text_.size()) {
      const Character c = read(end);
      if ((c.kind & kSpace) == 0) break;
      before_last = end;
      end = c.end;
    }
    return end == text_.size() || before_last == at ? end : before_last;
  }

  KnownPattern pattern_;
  std::string_view text_;
  const std::uint8_t* classes_;
};

}  // namespace

std::optional<KnownPattern> recognise_pattern(std::string_view regular_expression) {
  if (regular_expression == kGpt2Pattern) return KnownPattern::kGpt2;
  if (regular_expression == kOneDigitPattern) return KnownPattern::kOneDigit;
  if (regular_expression == kThreeDigitsPattern) return KnownPattern::kThreeDigits;
  return std::nullopt;
}

void scan_pattern(KnownPattern pattern, std::string_view text, std::size_t base,
                  std::vector<std::size_t>& ends) {
  const Scanner scanner(pattern, text);
  for (std::size_t at = 0; at < text.size();) {
    at = scanner.match_end(at);
    ends.push_back(base + at);
  }
}

}  // namespace ranktune
