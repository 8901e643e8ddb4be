#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "data/shard_format.h"

namespace ranktune {

/// One row as it is stored. tokens.size() == loss_mask.size() > 0.
struct TokenRow {
  std::vector<std::int32_t> tokens;
  std::vector<std::uint8_t> loss_mask;  ///< 1 where the token is a training target
  bool operator==(const TokenRow&) const = default;
};

/// Where a row came from.
struct RowSource {
  std::int64_t file = 0;  ///< index into ShardMetadata::sources
  std::int64_t line = 0;  ///< the line it begins on, from 1
  bool operator==(const RowSource&) const = default;
};

struct ShardWriterOptions {
  Path output;                    ///< NAME.h5
  std::int64_t shard_tokens = 0;  ///< 0 = no limit
  std::int64_t shard_rows = 0;    ///< 0 = no limit
  int compression = 3;            ///< zlib level 0 .. 9
};

/// Writes a data set of one or more shards under temporary names; finish() puts the metadata in, syncs and
/// renames. Without finish() nothing appears and the temporary files go. The same rows give the same bytes.
class ShardWriter {
 public:
  explicit ShardWriter(ShardWriterOptions options);
  ~ShardWriter();
  ShardWriter(const ShardWriter&) = delete;
  ShardWriter& operator=(const ShardWriter&) = delete;

  void add(const TokenRow& row, const RowSource& source);
  std::int64_t rows() const noexcept;
  std::int64_t tokens() const noexcept;
  /// The paths of the shards. Throws when there are no rows. An older set of the same name is replaced whole.
  std::vector<Path> finish(const ShardMetadata& metadata);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// NAME.h5 for a single shard, else NAME-00000-of-00004.h5.
Path shard_path(const Path& output, std::int64_t index, std::int64_t count);

}  // namespace ranktune
