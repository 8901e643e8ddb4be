#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace ranktune {

/// A token that is found in the text as it stands, before any splitting or merging.
struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool special = false;
  bool normalized = false;  ///< looked for in the normalised text instead
  bool lstrip = false;      ///< takes the white space before it along
  bool rstrip = false;      ///< … and after it
};

/// Finds added tokens in a text: leftmost first, the longest of those that begin there.
class AddedTokenMatcher {
 public:
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);
  AddedTokenMatcher(AddedTokenMatcher&&) = default;
  AddedTokenMatcher& operator=(AddedTokenMatcher&&) = default;

  /// A found token with the white space it takes along.
  struct Match {
    std::size_t begin, end;
    const AddedToken* token;
  };
  /// Appends the matches in order, not overlapping. `accept(token, begin, end)` (of the token alone) may
  /// refuse one: it is then ordinary text up to its end.
  template <typename Accept>
  void find(std::string_view text, Accept&& accept, std::vector<Match>& matches) const {
    std::size_t done = 0;
    for (std::size_t at = next_candidate(text, 0); at < text.size();) {
      const AddedToken* token = longest_at(text, at);
      if (token == nullptr) {
        at = next_candidate(text, at + 1);
        continue;
      }
      const std::size_t end = at + token->content.size();
      if (accept(*token, at, end)) {
        matches.push_back(with_spaces(text, done, {at, end, token}));
        done = matches.back().end;
      }
      at = next_candidate(text, done > end ? done : end);
    }
  }
  bool empty() const { return tokens_.empty(); }

 private:
  std::size_t next_candidate(std::string_view text, std::size_t at) const;
  const AddedToken* longest_at(std::string_view text, std::size_t at) const;
  static Match with_spaces(std::string_view text, std::size_t done, Match match);

  std::vector<AddedToken> tokens_;                            ///< by content, longer ones first
  std::array<std::vector<const AddedToken*>, 256> by_first_;  ///< by first byte, longest first
  int only_first_ = -1;                                       ///< the one first byte all tokens have, or -1
};

}  // namespace ranktune
