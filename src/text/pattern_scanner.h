#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

namespace ranktune {

/// The splitting patterns that are matched by hand-written code instead of a regular-expression engine.
enum class KnownPattern {
  kGpt2,        ///< GPT-2: 's|'t|… , space-led runs of letters, numbers or others, case-sensitive
  kOneDigit,    ///< Qwen: contractions in any case, runs of letters with one leading other, single numerals
  kThreeDigits  ///< Llama 3: the same with up to three numerals together
};

/// GPT-2's pattern, which ByteLevel applies where `use_regex` is true.
extern const std::string_view kGpt2Pattern;
/// The pattern of Qwen, the first generation included.
extern const std::string_view kOneDigitPattern;

/// Which known pattern this regular expression is, if any (compared as text).
std::optional<KnownPattern> recognise_pattern(std::string_view regular_expression);

/// Appends the end of every match of the pattern in valid UTF-8 `text`, each plus `base`. The matches leave
/// no gaps, so they are the words of the text.
void scan_pattern(KnownPattern pattern, std::string_view text, std::size_t base,
                  std::vector<std::size_t>& ends);

}  // namespace ranktune
