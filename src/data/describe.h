#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/shard_reader.h"
#include "text/tokenizer.h"

namespace ranktune {

struct DescribeOptions {
  std::vector<std::int64_t> rows;  ///< rows to show in full, from 0
  bool colours = false;            ///< ANSI colours for labels; otherwise targets stand between «»
  int width = 80;                  ///< columns for bars, 40 .. 400
};

/// Sizes, fingerprints, sources, length histogram and, given the tokenizer, the text of the asked rows with
/// its labels marked. Without a tokenizer rows show as ids.
std::string describe_data(const ShardReader& reader, const Tokenizer* tokenizer,
                          const DescribeOptions& options);

/// The same facts as one JSON object.
std::string describe_data_json(const ShardReader& reader, const Tokenizer* tokenizer,
                               const DescribeOptions& options);

}  // namespace ranktune
