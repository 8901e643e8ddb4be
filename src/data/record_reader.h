#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/file.h"

namespace ranktune {

/// The text of one row, not yet parsed.
struct Record {
  std::string text;
  std::int64_t line = 0;    ///< where it begins, from 1
  std::int64_t number = 0;  ///< of the record in its file, from 1
};

/// Takes a file of rows apart without parsing them: a JSON array's elements, found by a scanner that knows
/// strings and depth, or the lines of a JSONL file (.jsonl, .ndjson, or anything that does not begin with
/// '['). Memory: the largest record plus a few hundred KB. A byte-order mark and blank lines are passed over.
/// Throws when a record is larger than `max_record_bytes`, and when an array is not closed or something
/// follows it: then rows are missing whose number nobody knows.
class RecordReader {
 public:
  RecordReader(const Path& path, std::int64_t max_record_bytes);
  ~RecordReader();
  bool next(Record& record);
  bool is_array() const noexcept;
  std::int64_t bytes_read() const noexcept;
  std::int64_t bytes_total() const noexcept;
  /// XXH3-128 of the whole file; only after next() returned false.
  std::string hash() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ranktune
