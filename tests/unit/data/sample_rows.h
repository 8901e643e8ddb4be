#pragma once

#include <cstdint>
#include <string>

#include "base/file.h"
#include "base/random.h"
#include "data/shard_writer.h"

namespace ranktune {

/// Row `index` of a made-up data set: 1 .. 60 tokens, the second half of them targets.
inline TokenRow sample_row(std::int64_t index) {
  const CounterRandom random(mix_seed(99, static_cast<std::uint64_t>(index)));
  const auto length = 1 + random.bits(0) % 60;
  TokenRow row;
  for (std::uint64_t i = 0; i < length; ++i) {
    row.tokens.push_back(static_cast<std::int32_t>(random.bits(i + 1) % 1000));
    row.loss_mask.push_back(2 * i >= length ? 1 : 0);
  }
  return row;
}

inline ShardMetadata sample_metadata() {
  ShardMetadata metadata;
  metadata.tokenizer_fingerprint = "tokenizer-a";
  metadata.template_name = "chatml";
  metadata.template_fingerprint = "template-a";
  metadata.vocabulary = 1000;
  metadata.end_of_turn = 2;
  metadata.max_length = 60;
  metadata.over_length = "drop";
  metadata.sources = {{"rows.jsonl", "00ff"}};
  metadata.counts = R"({"rows_in":3})";
  return metadata;
}

/// Writes rows 0 .. rows-1 and returns the files.
inline std::vector<Path> write_sample(const Path& output, std::int64_t rows, std::int64_t shard_rows = 0) {
  ShardWriter writer({.output = output, .shard_tokens = 0, .shard_rows = shard_rows, .compression = 3});
  for (std::int64_t i = 0; i < rows; ++i) writer.add(sample_row(i), {.file = 0, .line = i + 1});
  return writer.finish(sample_metadata());
}

}  // namespace ranktune
