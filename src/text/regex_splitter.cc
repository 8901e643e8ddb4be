#include "text/regex_splitter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <utility>

#include "base/error.h"

namespace ranktune {

namespace {

constexpr std::string_view kWhiteSpace =
    R"(\x{9}-\x{D}\x{20}\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";

std::string pcre_message(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

// PCRE2's \s also takes U+180E, which has not been white space since Unicode 6.3; so the class is written
// out.
std::string with_explicit_spaces(const std::string& expression, std::string_view where) {
  std::string out;
  bool in_class = false;
  for (std::size_t i = 0; i < expression.size(); ++i) {
    const char c = expression[i];
    if (c != '\\') {
      if (c == '[') in_class = true;
      if (c == ']') in_class = false;
      out += c;
      continue;
    }
    require(++i < expression.size(), "{}: the regular expression ends in a backslash: {}", where, expression);
    const char escaped = expression[i];
    if (escaped == 's') {
      out += in_class ? std::string(kWhiteSpace) : "[" + std::string(kWhiteSpace) + "]";
    } else if (escaped == 'S' && !in_class) {
      out += "[^" + std::string(kWhiteSpace) + "]";
    } else {
      const bool letter = (escaped >= 'a' && escaped <= 'z') || (escaped >= 'A' && escaped <= 'Z');
      // \S inside a class cannot be written out.
      require(!letter || std::string_view("pPnrtdDwWx").find(escaped) != std::string_view::npos,
              "{}: the regular expression uses \\{}{}, which is not supported: {}", where, escaped,
              in_class ? " inside [...]" : "", expression);
      out += c;
      out += escaped;
    }
  }
  return out;
}

}  // namespace

struct RegexSplitter::Compiled {
  std::string expression;
  std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)> code{nullptr, &pcre2_code_free};
};

RegexSplitter::RegexSplitter(const std::string& expression, std::string_view where) {
  auto compiled = std::make_unique<Compiled>();
  compiled->expression = expression;
  const std::string rewritten = with_explicit_spaces(expression, where);
  int error = 0;
  PCRE2_SIZE offset = 0;
  compiled->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(rewritten.data()), rewritten.size(),
                                     PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr));
  require(compiled->code != nullptr, "{}: the regular expression does not compile: {} (in {})", where,
          pcre_message(error), expression);
  // Without JIT support matching is slower, not different.
  pcre2_jit_compile(compiled->code.get(), PCRE2_JIT_COMPLETE);
  compiled_ = std::move(compiled);
}

RegexSplitter::~RegexSplitter() = default;
RegexSplitter::RegexSplitter(RegexSplitter&&) noexcept = default;

void RegexSplitter::split(std::string_view text, std::size_t base, std::vector<std::size_t>& ends) const {
  const pcre2_code* code = compiled_->code.get();
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> match(
      pcre2_match_data_create_from_pattern(code, nullptr), &pcre2_match_data_free);
  require(match != nullptr, "out of memory for the regular expression {}", compiled_->expression);
  std::size_t done = 0;  // everything before is in ends
  for (std::size_t at = 0; at < text.size();) {
    const int result = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at,
                                   PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, match.get(), nullptr);
    if (result == PCRE2_ERROR_NOMATCH) break;
    if (result <= 0)
      fail("the regular expression {} failed on a text of {} bytes: {}", compiled_->expression, text.size(),
           pcre_message(result));
    const PCRE2_SIZE* span = pcre2_get_ovector_pointer(match.get());
    if (span[0] > done) ends.push_back(base + span[0]);
    ends.push_back(base + span[1]);
    done = at = span[1];
  }
  if (done < text.size()) ends.push_back(base + text.size());
}

}  // namespace ranktune
