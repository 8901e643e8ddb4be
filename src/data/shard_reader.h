#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/file.h"
#include "data/shard_format.h"
#include "data/shard_writer.h"

namespace ranktune {

/// Reads a data set: one file, or a set of shards given by the name it was written under (NAME.h5) or by any
/// one of its shards. Everything is checked at opening (version, attributes, sizes, offsets); chunk checksums
/// at reading. Thread-compatible: one reader per thread.
class ShardReader {
 public:
  explicit ShardReader(const Path& path);
  ~ShardReader();
  ShardReader(ShardReader&&) noexcept;
  ShardReader& operator=(ShardReader&&) noexcept;

  const ShardMetadata& metadata() const noexcept;
  const std::vector<Path>& files() const noexcept;
  const std::string& set_hash() const noexcept;  ///< identifies the content of the whole set
  std::int64_t rows() const noexcept;
  std::int64_t tokens() const noexcept;
  std::int64_t supervised_tokens() const noexcept;  ///< ones in the loss mask
  std::int64_t longest() const noexcept;            ///< tokens of the longest row
  std::int64_t length(std::int64_t row) const;      ///< tokens

  /// Throws naming file, dataset and row where a chunk is damaged, and file and row where an id lies outside
  /// the vocabulary.
  TokenRow read(std::int64_t row) const;
  RowSource source(std::int64_t row) const;
  /// Rows in the given order; reads in the order of the file, so that each chunk is decompressed once.
  std::vector<TokenRow> read_rows(std::span<const std::int64_t> rows) const;

  /// Throws unless the set was made with this tokenizer and template.
  void require_made_for(std::string_view tokenizer_fingerprint, std::string_view template_fingerprint) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ranktune
