#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ranktune {

/// The merging half of byte-pair encoding: bytes of a word → ids, the pair of lowest rank first, leftmost on
/// ties. Immutable once built.
class BytePairModel {
 public:
  struct Merge {
    std::int32_t left, right, merged;
  };
  struct Options {
    /// A word that is a token as a whole becomes it without merging.
    bool whole_words_first = false;
    /// What a byte without a token becomes; -1: it is dropped.
    std::int32_t unknown_id = -1;
    /// Neighbouring bytes without a token become one unknown_id.
    bool fuse_unknown = false;
  };
  /// Scratch memory and a cache of short words; for one thread at a time, and one model only.
  class Workspace {
   public:
    Workspace() : cache_(kSlots) {}

   private:
    friend class BytePairModel;
    static constexpr std::size_t kSlots = std::size_t{1} << 14;
    static constexpr std::size_t kMaxBytes = 30;
    static constexpr std::size_t kMaxIds = 8;
    /// One cache line: a word and its ids.
    struct alignas(64) Slot {
      std::uint8_t bytes = 0;  ///< 0: free
      std::uint8_t count = 0;
      std::array<char, kMaxBytes> word{};
      std::array<std::int32_t, kMaxIds> ids{};
    };

    std::vector<Slot> cache_;
    std::vector<std::int32_t> symbols_;
    std::vector<std::uint32_t> ranks_;
    std::vector<std::int32_t> merged_;
  };

  /// `byte_ids`: the id of each byte, or -1. `merges` in order of rank (a pair's last mention counts).
  /// `words`: the ordinary tokens' bytes → id, kept by the caller; only read where whole_words_first.
  BytePairModel(const std::array<std::int32_t, 256>& byte_ids, const std::vector<Merge>& merges,
                const std::unordered_map<std::string_view, std::int32_t>& words, const Options& options);
  BytePairModel(BytePairModel&&) noexcept;
  ~BytePairModel();

  /// Appends the ids of one word. Time O(n log n) in its bytes.
  void encode_word(std::string_view word, Workspace& workspace, std::vector<std::int32_t>& ids) const;

  std::int32_t unknown_id() const { return options_.unknown_id; }
  bool fuses_unknown() const { return options_.fuse_unknown; }
  bool has_byte(unsigned char byte) const { return byte_ids_[byte] >= 0; }

 private:
  struct Pair {
    std::uint64_t key;  ///< left << 32 | right; kNoKey: a free slot
    std::uint32_t rank;
    std::int32_t merged;
  };
  const Pair& find(std::int32_t left, std::int32_t right) const;
  void load_symbols(std::string_view word, std::vector<std::int32_t>& symbols) const;
  void merge_short(Workspace& workspace, std::vector<std::int32_t>& ids) const;
  void merge_long(Workspace& workspace, std::vector<std::int32_t>& ids) const;

  std::array<std::int32_t, 256> byte_ids_;
  const std::unordered_map<std::string_view, std::int32_t>* words_;
  Options options_;
  std::vector<Pair> pairs_;  ///< open addressing, a power of two at most half full
  unsigned shift_ = 0;
};

}  // namespace ranktune
