#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "text/vocabulary.h"

namespace ranktune {

namespace {

constexpr std::uint64_t kMaxFileBytes = std::uint64_t{1} << 28;
constexpr std::size_t kMaxTokenBytes = 4096;
constexpr int kExtraTokens = 205;  // <|extra_0|> … <|extra_204|>

// Strict base64 with padding; false where `text` is none.
bool decode_base64(std::string_view text, std::string& bytes) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.empty() || text.size() % 4 != 0) return false;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < text.size() - padding; ++i) {
    const std::size_t value = kAlphabet.find(text[i]);
    if (value == std::string_view::npos) return false;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    if (i % 4 == 3)
      for (const unsigned shift : {16u, 8u, 0u}) bytes += static_cast<char>(bits >> shift & 0xFF);
  }
  if (padding == 1) bytes += {static_cast<char>(bits >> 10 & 0xFF), static_cast<char>(bits >> 2 & 0xFF)};
  if (padding == 2) bytes += static_cast<char>(bits >> 4 & 0xFF);
  const std::uint32_t left_over = padding == 1 ? bits & 0x3 : padding == 2 ? bits & 0xF : 0;
  return left_over == 0;
}

std::vector<std::string> read_ranks(const std::string& text, const std::string& where) {
  std::vector<std::string> tokens;
  std::size_t line_number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line(text.data() + at, end - at);
    at = end + 1;
    ++line_number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    const std::size_t space = line.find(' ');
    require(space != std::string_view::npos, "{}:{}: no space between token and rank", where, line_number);
    std::string bytes;
    require(decode_base64(line.substr(0, space), bytes), "{}:{}: \"{}\" is not base64", where, line_number,
            line.substr(0, std::min<std::size_t>(space, 40)));
    require(bytes.size() <= kMaxTokenBytes, "{}:{}: a token of {} bytes (limit {})", where, line_number,
            bytes.size(), kMaxTokenBytes);
    const std::string_view number = line.substr(space + 1);
    std::int64_t rank = -1;
    const auto [stop, error] = std::from_chars(number.data(), number.data() + number.size(), rank);
    require(error == std::errc() && stop == number.data() + number.size(), "{}:{}: \"{}\" is not a rank",
            where, line_number, number.substr(0, 40));
    require(rank == static_cast<std::int64_t>(tokens.size()),
            "{}:{}: rank {} where {} is due; ranks count up from 0", where, line_number, rank, tokens.size());
    require(rank < kMaxVocabulary - kExtraTokens - 3, "{}:{}: more than {} tokens", where, line_number, rank);
    tokens.push_back(std::move(bytes));
  }
  return tokens;
}

using Ranks = std::unordered_map<std::string_view, std::int32_t>;

Ranks index_ranks(const std::vector<std::string>& tokens, const std::string& where) {
  Ranks ranks;
  ranks.reserve(tokens.size());
  for (std::size_t rank = 0; rank < tokens.size(); ++rank) {
    const auto [known, fresh] = ranks.emplace(tokens[rank], static_cast<std::int32_t>(rank));
    require(fresh, "{}: ranks {} and {} are the same token", where, known->second, rank);
  }
  return ranks;
}

// Merging by rank joins any two neighbours whose bytes together are a token, so every way to cut a token into
// two tokens is a merge of that token's rank.
std::vector<BytePairModel::Merge> all_merges(const std::vector<std::string>& tokens, const Ranks& ranks) {
  std::vector<BytePairModel::Merge> merges;
  for (std::size_t rank = 0; rank < tokens.size(); ++rank) {
    const std::string_view token = tokens[rank];
    for (std::size_t cut = 1; cut < token.size(); ++cut) {
      const auto left = ranks.find(token.substr(0, cut));
      if (left == ranks.end()) continue;
      const auto right = ranks.find(token.substr(cut));
      if (right != ranks.end())
        merges.push_back({left->second, right->second, static_cast<std::int32_t>(rank)});
    }
  }
  return merges;
}

// Where merging by the ranks below `rank` leaves `token` cut: the ends of its parts.
std::vector<std::size_t> merged_below(std::string_view token, std::int32_t rank, const Ranks& ranks) {
  std::vector<std::size_t> ends(token.size());
  std::iota(ends.begin(), ends.end(), 1);
  for (;;) {
    std::size_t best = ends.size();
    std::int32_t lowest = rank;
    for (std::size_t i = 0; i + 1 < ends.size(); ++i) {
      const std::size_t begin = i == 0 ? 0 : ends[i - 1];
      const auto found = ranks.find(token.substr(begin, ends[i + 1] - begin));
      if (found == ranks.end() || found->second >= lowest) continue;
      best = i;
      lowest = found->second;
    }
    if (best == ends.size()) return ends;
    ends.erase(ends.begin() + static_cast<std::ptrdiff_t>(best));
  }
}

void check_config(const Path& folder) {
  const Path file = folder / "tokenizer_config.json";
  if (!std::filesystem::exists(file)) return;
  const auto kind =
      json_get_or<std::string>(read_json_file(file), "tokenizer_class", "QWenTokenizer", file.string());
  require(kind == "QWenTokenizer",
          "{}: \"tokenizer_class\" is \"{}\", but qwen.tiktoken is read as QWenTokenizer; copy the model's "
          "tokenizer.json "
          "into the folder if it has one",
          file.string(), kind);
}

}  // namespace

Vocabulary read_tiktoken(const Path& file) {
  const std::string where = file.string();
  check_config(file.parent_path());
  std::vector<std::string> tokens = read_ranks(read_file(file, kMaxFileBytes), where);
  const Ranks ranks = index_ranks(tokens, where);
  std::array<std::int32_t, 256> byte_ids{};
  for (std::size_t byte = 0; byte < byte_ids.size(); ++byte) {
    const char symbol = static_cast<char>(byte);
    const auto found = ranks.find(std::string_view(&symbol, 1));
    require(found != ranks.end(), "{}: no token for the byte {:#04x}; the file is incomplete", where, byte);
    byte_ids[byte] = found->second;
  }
  std::vector<BytePairModel::Merge> merges = all_merges(tokens, ranks);
  std::vector<AddedToken> added;
  const auto add = [&](std::string content) {
    added.push_back({.id = static_cast<std::int32_t>(tokens.size() + added.size()),
                     .content = std::move(content),
                     .special = true});
  };
  for (const char* content : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) add(content);
  for (int i = 0; i < kExtraTokens; ++i) add("<|extra_" + std::to_string(i) + "|>");
  for (const AddedToken& token : added) tokens.push_back(token.content);
  return {.token_bytes = std::move(tokens),
          .added = std::move(added),
          .byte_ids = byte_ids,
          .merges = std::move(merges),
          .options = {.whole_words_first = true},
          .normalisation = Normalisation::kNfcBeforeAll,
          .pre_tokenizer = PreTokenizer(KnownPattern::kOneDigit),
          .description = "tiktoken, NFC, " + std::string(kOneDigitPattern)};
}

std::vector<BytePairModel::Merge> tiktoken_merges(const Vocabulary& vocabulary, const std::string& where) {
  const std::vector<std::string> tokens(
      vocabulary.token_bytes.begin(),
      vocabulary.token_bytes.end() - static_cast<std::ptrdiff_t>(vocabulary.added.size()));
  const Ranks ranks = index_ranks(tokens, where);
  std::vector<BytePairModel::Merge> merges;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    const std::string_view token = tokens[id];
    if (token.size() == 1) continue;
    const auto rank = static_cast<std::int32_t>(id);
    const std::vector<std::size_t> ends = merged_below(token, rank, ranks);
    require(
        ends.size() == 2,
        "{}: merging by lower ranks leaves {} parts of the token of rank {}; 2 are needed to list it as a "
        "merge",
        where, ends.size(), rank);
    merges.push_back({ranks.at(token.substr(0, ends[0])), ranks.at(token.substr(ends[0])), rank});
  }
  return merges;
}

}  // namespace ranktune
