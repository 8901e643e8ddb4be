#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ranktune {

/// The layout of a tokenised data file (HDF5, format features of 1.10, no time stamps; integers
/// little-endian). Names and meanings are persistent; a change of meaning raises kShardVersion.
///
///   /tokens     int32 [T]      token ids of all rows, back to back
///   /loss_mask  uint8 [T]      1 where the token is a training target (an answer's tokens and its end token)
///   /offsets    int64 [N+1]    row i is tokens[offsets[i]:offsets[i+1]]; offsets[0] = 0, strictly rising
///   /source     int64 [N,2]    index into the metadata's sources, line the row begins on (from 1)
///
/// All are chunked, shuffled, deflated and carry Fletcher-32 checksums per chunk. Attributes of the root
/// group are int64 scalars or fixed-length UTF-8 strings; `metadata` holds ShardMetadata as JSON. A data set
/// is NAME.h5, or NAME-00000-of-00004.h5 and so on, whose `set_hash` agree.
inline constexpr char kShardFormatName[] = "ranktune.tokens";
inline constexpr std::int64_t kShardVersion = 1;

inline constexpr char kTokensDataset[] = "tokens";
inline constexpr char kLossMaskDataset[] = "loss_mask";
inline constexpr char kOffsetsDataset[] = "offsets";
inline constexpr char kSourceDataset[] = "source";
inline constexpr std::int64_t kTokensPerChunk = 32768;
inline constexpr std::int64_t kRowsPerChunk = 8192;

inline constexpr char kFormatAttribute[] = "format";           ///< kShardFormatName
inline constexpr char kVersionAttribute[] = "format_version";  ///< kShardVersion
inline constexpr char kRowsAttribute[] = "rows";               ///< of this shard
inline constexpr char kTokensAttribute[] = "tokens";           ///< of this shard
inline constexpr char kSupervisedAttribute[] = "supervised_tokens";
inline constexpr char kContentHashAttribute[] =
    "content_hash";  ///< XXH3-128 of this shard's rows and metadata
inline constexpr char kShardIndexAttribute[] = "shard_index";
inline constexpr char kShardCountAttribute[] = "shard_count";
inline constexpr char kSetHashAttribute[] = "set_hash";  ///< XXH3-128 of all content hashes in order
inline constexpr char kMetadataAttribute[] = "metadata";

/// What a data set was made from and how; the same in every shard of a set.
struct ShardMetadata {
  struct Source {
    std::string name;  ///< file name without folders, so that the bytes do not depend on where the inputs lay
    std::string hash;  ///< XXH3-128 of the file
  };
  std::string tokenizer_fingerprint;
  std::string template_name;
  std::string template_fingerprint;
  std::int64_t vocabulary = 0;   ///< ids in the file are < vocabulary
  std::int64_t end_of_turn = 0;  ///< id of the token that ends an answer
  std::int64_t max_length = 0;   ///< tokens; no row is longer
  std::string over_length;       ///< name_of(OverLength)
  std::vector<Source> sources;
  std::string counts;  ///< the summary's figures as JSON (see PrepSummary::counts_json)

  std::string to_json() const;
  static ShardMetadata from_json(std::string_view text, std::string_view where);
};

}  // namespace ranktune
