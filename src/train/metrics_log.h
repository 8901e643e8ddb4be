#pragma once

#include <cstdint>

#include "base/file.h"
#include "base/json.h"

namespace ranktune {

/// run.dir/metrics.jsonl and consumed.jsonl: one JSON object a line, written by rank 0 as it happens.
class MetricsLog {
 public:
  /// Opens for appending; lines of a step >= `first_step` (of a run that went on after the checkpoint now
  /// resumed) are removed first, so that every step stands in the file once.
  MetricsLog(const Path& file, std::int64_t first_step);
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;
  ~MetricsLog();

  /// `record` has a "step". A line that cannot be written is a warning once: training is worth more than its
  /// log.
  void write(const OrderedJson& record);

 private:
  Path path_;
  int descriptor_ = -1;
  bool warned_ = false;
};

}  // namespace ranktune
