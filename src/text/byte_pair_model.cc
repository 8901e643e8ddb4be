#include "text/byte_pair_model.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <queue>

#include "base/error.h"

namespace ranktune {

namespace {

constexpr std::uint64_t kNoKey = ~std::uint64_t{0};
constexpr std::uint32_t kNoRank = ~std::uint32_t{0};
// Below this many symbols a linear search for the best pair beats a heap.
constexpr std::size_t kShortWord = 96;

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
         static_cast<std::uint32_t>(right);
}

std::uint64_t scatter(std::uint64_t key) { return (key ^ (key >> 32)) * 0x9E3779B97F4A7C15u; }

std::uint64_t hash_word(std::string_view word) {
  std::uint64_t hash = word.size() * 0x9E3779B97F4A7C15u;
  std::size_t at = 0;
  for (; at + 8 <= word.size(); at += 8) {
    std::uint64_t block = 0;
    std::memcpy(&block, word.data() + at, 8);
    hash = (hash ^ block) * 0xBF58476D1CE4E5B9u;
    hash ^= hash >> 29;
  }
  std::uint64_t block = 0;
  std::memcpy(&block, word.data() + at, word.size() - at);
  hash = (hash ^ block) * 0x94D049BB133111EBu;
  return hash ^ (hash >> 31);
}

// A pair waiting to be merged in a long word. Positions are symbol indices of the beginning.
struct Candidate {
  std::uint32_t rank;
  std::uint32_t left, right;
  std::int32_t left_id, right_id;  ///< what they were when the candidate was made: else it is out of date
  std::int32_t merged;
  bool operator>(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : left > other.left;
  }
};

}  // namespace

BytePairModel::BytePairModel(const std::array<std::int32_t, 256>& byte_ids, const std::vector<Merge>& merges,
                             const std::unordered_map<std::string_view, std::int32_t>& words,
                             const Options& options)
    : byte_ids_(byte_ids), words_(&words), options_(options) {
  const std::size_t slots = std::bit_ceil(std::max<std::size_t>(merges.size() * 2, 16));
  shift_ = 64u - static_cast<unsigned>(std::countr_zero(slots));
  pairs_.assign(slots, Pair{kNoKey, kNoRank, -1});
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const Merge& merge = merges[rank];
    const std::uint64_t key = pair_key(merge.left, merge.right);
    std::size_t slot = scatter(key) >> shift_;
    while (pairs_[slot].key != kNoKey && pairs_[slot].key != key) slot = (slot + 1) & (slots - 1);
    pairs_[slot] = {key, static_cast<std::uint32_t>(rank), merge.merged};
  }
}

BytePairModel::BytePairModel(BytePairModel&&) noexcept = default;
BytePairModel::~BytePairModel() = default;

const BytePairModel::Pair& BytePairModel::find(std::int32_t left, std::int32_t right) const {
  const std::uint64_t key = pair_key(left, right);
  std::size_t slot = scatter(key) >> shift_;
  while (pairs_[slot].key != key && pairs_[slot].key != kNoKey) slot = (slot + 1) & (pairs_.size() - 1);
  return pairs_[slot];
}

void BytePairModel::load_symbols(std::string_view word, std::vector<std::int32_t>& symbols) const {
  symbols.clear();
  bool after_unknown = false;
  for (const char c : word) {
    const std::int32_t id = byte_ids_[static_cast<unsigned char>(c)];
    const bool unknown = id < 0;
    if (!unknown) {
      symbols.push_back(id);
    } else if (options_.unknown_id >= 0 && !(after_unknown && options_.fuse_unknown)) {
      symbols.push_back(options_.unknown_id);
    }
    after_unknown = unknown;
  }
}

void BytePairModel::encode_word(std::string_view word, Workspace& workspace,
                                std::vector<std::int32_t>& ids) const {
  if (word.empty()) return;
  Workspace::Slot* slot = nullptr;
  if (word.size() <= Workspace::kMaxBytes) {
    slot = &workspace.cache_[hash_word(word) & (Workspace::kSlots - 1)];
    if (slot->bytes == word.size() && std::memcmp(slot->word.data(), word.data(), word.size()) == 0) {
      ids.insert(ids.end(), slot->ids.begin(), slot->ids.begin() + slot->count);
      return;
    }
  }
  const std::size_t before = ids.size();
  if (options_.whole_words_first) {
    if (const auto found = words_->find(word); found != words_->end()) ids.push_back(found->second);
  }
  if (ids.size() == before) {
    load_symbols(word, workspace.symbols_);
    if (workspace.symbols_.size() <= kShortWord) {
      merge_short(workspace, ids);
    } else {
      merge_long(workspace, ids);
    }
  }
  const std::size_t count = ids.size() - before;
  if (slot == nullptr || count > Workspace::kMaxIds) return;
  slot->bytes = static_cast<std::uint8_t>(word.size());
  slot->count = static_cast<std::uint8_t>(count);
  std::memcpy(slot->word.data(), word.data(), word.size());
  std::copy(ids.begin() + static_cast<std::ptrdiff_t>(before), ids.end(), slot->ids.begin());
}

void BytePairModel::merge_short(Workspace& workspace, std::vector<std::int32_t>& ids) const {
  std::vector<std::int32_t>& symbols = workspace.symbols_;
  std::vector<std::uint32_t>& ranks = workspace.ranks_;  // of the pair (i, i + 1)
  std::vector<std::int32_t>& merged = workspace.merged_;
  std::size_t count = symbols.size();
  ranks.assign(count, kNoRank);
  merged.assign(count, -1);
  const auto update = [&](std::size_t i) {
    const Pair& pair = find(symbols[i], symbols[i + 1]);
    ranks[i] = pair.rank;
    merged[i] = pair.merged;
  };
  for (std::size_t i = 0; i + 1 < count; ++i) update(i);
  while (count > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < count; ++i)
      if (ranks[i] < ranks[best]) best = i;
    if (ranks[best] == kNoRank) break;
    symbols[best] = merged[best];
    const auto close_gap = [&](auto& values) {
      std::copy(values.begin() + static_cast<std::ptrdiff_t>(best) + 2,
                values.begin() + static_cast<std::ptrdiff_t>(count),
                values.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    };
    close_gap(symbols);
    close_gap(ranks);
    close_gap(merged);
    --count;
    if (best > 0) update(best - 1);
    if (best + 1 < count) {
      update(best);
    } else {
      ranks[best] = kNoRank;
    }
  }
  ids.insert(ids.end(), symbols.begin(), symbols.begin() + static_cast<std::ptrdiff_t>(count));
}

void BytePairModel::merge_long(Workspace& workspace, std::vector<std::int32_t>& ids) const {
  std::vector<std::int32_t>& symbols = workspace.symbols_;  // -1: merged into the one before
  const std::size_t size = symbols.size();
  require(size < kNoRank, "a word of {} bytes without a break is too long to tokenise", size);
  const auto count = static_cast<std::uint32_t>(size);
  constexpr std::uint32_t kNone = kNoRank;
  std::vector<std::uint32_t> next(count), previous(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    next[i] = i + 1 < count ? i + 1 : kNone;
    previous[i] = i > 0 ? i - 1 : kNone;
  }
  std::vector<Candidate> initial;
  const auto candidate = [&](std::uint32_t left, std::uint32_t right, auto&& add) {
    if (left == kNone || right == kNone) return;
    const Pair& pair = find(symbols[left], symbols[right]);
    if (pair.rank != kNoRank)
      add(Candidate{pair.rank, left, right, symbols[left], symbols[right], pair.merged});
  };
  for (std::uint32_t i = 0; i < count; ++i)
    candidate(i, next[i], [&](const Candidate& made) { initial.push_back(made); });
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue(std::greater<>{},
                                                                               std::move(initial));
  const auto push = [&](const Candidate& made) { queue.push(made); };
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    if (symbols[best.left] != best.left_id || symbols[best.right] != best.right_id ||
        next[best.left] != best.right)
      continue;
    symbols[best.left] = best.merged;
    symbols[best.right] = -1;
    next[best.left] = next[best.right];
    if (next[best.left] != kNone) previous[next[best.left]] = best.left;
    candidate(previous[best.left], best.left, push);
    candidate(best.left, next[best.left], push);
  }
  for (const std::int32_t id : symbols)
    if (id >= 0) ids.push_back(id);
}

}  // namespace ranktune
