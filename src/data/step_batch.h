#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ranktune {

/// Whole examples back to back; attention and positions are confined to each.
struct Slot {
  std::vector<std::int32_t> tokens;     ///< [T]
  std::vector<std::uint8_t> loss_mask;  ///< [T] 1 where the token is a target
  std::vector<std::int32_t>
      boundaries;                  ///< [examples + 1] example i is tokens[boundaries[i]:boundaries[i+1]]
  std::vector<std::int64_t> rows;  ///< [examples] rows of the data set

  std::int64_t examples() const noexcept { return static_cast<std::int64_t>(rows.size()); }
  /// Targets that are predicted: a mark on an example's first token does not count, nothing comes before it.
  std::int64_t supervised_tokens() const;
  bool operator==(const Slot&) const = default;
};

/// Everything one optimizer step trains on.
struct StepBatch {
  std::int64_t step = 0;            ///< from 0
  std::int64_t epoch = 0;           ///< of its first example, from 0
  std::int64_t first_position = 0;  ///< step * sequences_per_step
  std::vector<Slot> slots;
  std::int64_t supervised_tokens = 0;  ///< sum over slots
  std::int64_t tokens = 0;             ///< sum over slots

  std::int64_t examples() const noexcept;
  bool operator==(const StepBatch&) const = default;
};

/// Bytes for a broadcast between processes of one program on like machines (host byte order, magic and
/// version).
std::vector<std::byte> serialise(const StepBatch& batch);
/// Throws on anything that serialise() cannot have made; allocates no more than the bytes warrant.
StepBatch deserialise_step_batch(std::span<const std::byte> bytes);

}  // namespace ranktune
