#include "text/added_tokens.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "text/unicode.h"

namespace ranktune {

namespace {

// Begin of the character that ends at `end` (> 0) of valid UTF-8.
std::size_t character_before(std::string_view text, std::size_t end) {
  std::size_t at = end - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::stable_sort(tokens_.begin(), tokens_.end(), [](const AddedToken& a, const AddedToken& b) {
    return a.content.size() > b.content.size();
  });
  for (const AddedToken& token : tokens_) {
    const auto first = static_cast<unsigned char>(token.content.front());
    by_first_[first].push_back(&token);
  }
  const auto used = [](const auto& list) { return !list.empty(); };
  if (std::count_if(by_first_.begin(), by_first_.end(), used) == 1)
    only_first_ = static_cast<unsigned char>(tokens_.front().content.front());
}

std::size_t AddedTokenMatcher::next_candidate(std::string_view text, std::size_t at) const {
  if (tokens_.empty() || at >= text.size()) return text.size();
  if (only_first_ >= 0) {
    const void* found = std::memchr(text.data() + at, only_first_, text.size() - at);
    return found == nullptr ? text.size()
                            : static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
  }
  while (at < text.size() && by_first_[static_cast<unsigned char>(text[at])].empty()) ++at;
  return at;
}

const AddedToken* AddedTokenMatcher::longest_at(std::string_view text, std::size_t at) const {
  for (const AddedToken* token : by_first_[static_cast<unsigned char>(text[at])])
    if (text.substr(at, token->content.size()) == token->content) return token;
  return nullptr;
}

AddedTokenMatcher::Match AddedTokenMatcher::with_spaces(std::string_view text, std::size_t done,
                                                        Match match) {
  const std::uint8_t* classes = char_classes();
  while (match.token->lstrip && match.begin > done) {
    const std::size_t before = character_before(text, match.begin);
    if ((classes[code_point_at(text, before).value] & kSpace) == 0) break;
    match.begin = before;
  }
  while (match.token->rstrip && match.end < text.size()) {
    const CodePoint c = code_point_at(text, match.end);
    if ((classes[c.value] & kSpace) == 0) break;
    match.end += c.bytes;
  }
  return match;
}

}  // namespace ranktune
