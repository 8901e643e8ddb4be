#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ranktune {

/// Splits text by any regular expression, through PCRE2. The expression is read as Oniguruma reads it where
/// the two differ in what tokenizer files use: \s is Unicode's White_Space.
class RegexSplitter {
 public:
  /// `where` names the file for errors; throws where the expression does not compile or uses an escape that
  /// the two engines understand differently.
  RegexSplitter(const std::string& expression, std::string_view where);
  ~RegexSplitter();
  RegexSplitter(RegexSplitter&&) noexcept;

  /// Appends the ends of matches and of the gaps between them, each plus `base`; `text` must be valid UTF-8.
  void split(std::string_view text, std::size_t base, std::vector<std::size_t>& ends) const;

 private:
  struct Compiled;
  std::unique_ptr<const Compiled> compiled_;
};

}  // namespace ranktune
