#include "data/step_stream.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/numeric.h"
#include "data/packing.h"

namespace ranktune {
namespace {

Slot make_slot(const std::vector<std::int32_t>& examples, const std::vector<std::int64_t>& rows,
               const std::vector<TokenRow>& contents) {
  Slot slot;
  slot.boundaries.push_back(0);
  for (const std::int32_t example : examples) {
    const auto i = static_cast<std::size_t>(example);
    const TokenRow& row = contents[i];
    slot.tokens.insert(slot.tokens.end(), row.tokens.begin(), row.tokens.end());
    slot.loss_mask.insert(slot.loss_mask.end(), row.loss_mask.begin(), row.loss_mask.end());
    slot.boundaries.push_back(narrow<std::int32_t>(slot.tokens.size(), "tokens of a slot"));
    slot.rows.push_back(rows[i]);
  }
  return slot;
}

}  // namespace

StepStream::StepStream(const ShardReader& reader, const StepStreamOptions& options)
    : reader_(reader),
      options_(options),
      order_(reader.rows(), options.seed, options.shuffle),
      next_step_(options.start_step) {
  require(options.sequences_per_step >= 1, "batch.sequences_per_step = {} must be at least 1",
          options.sequences_per_step);
  require(options.start_step >= 0, "step {} is negative", options.start_step);
  require(reader.longest() <= options.tokens_per_slot,
          "{}: its longest row has {} tokens, but batch.tokens_per_slot = {}; raise that, or prepare the "
          "data with a "
          "max_length of at most {}",
          reader.files().front().string(), reader.longest(), options.tokens_per_slot,
          options.tokens_per_slot);
}

std::optional<StepBatch> StepStream::next() {
  if (options_.one_epoch && next_step_ >= steps_per_epoch()) return std::nullopt;
  return batch(next_step_++);
}

StepBatch StepStream::batch(std::int64_t step) const {
  require(step >= 0 && (!options_.one_epoch || step < steps_per_epoch()), "step {} is outside the data",
          step);
  StepBatch batch;
  batch.step = step;
  batch.first_position = static_cast<std::int64_t>(checked_mul(
      static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(options_.sequences_per_step), "step"));
  batch.epoch = order_.epoch(batch.first_position);
  const std::int64_t end = batch.first_position + options_.sequences_per_step;
  const std::int64_t last = options_.one_epoch ? std::min(end, reader_.rows()) : end;
  std::vector<std::int64_t> rows, lengths;
  for (std::int64_t position = batch.first_position; position < last; ++position) {
    rows.push_back(order_.row(position));
    lengths.push_back(reader_.length(rows.back()));
  }
  const std::vector<TokenRow> contents = reader_.read_rows(rows);
  for (const auto& examples : pack_slots(lengths, options_.tokens_per_slot)) {
    batch.slots.push_back(make_slot(examples, rows, contents));
    batch.supervised_tokens += batch.slots.back().supervised_tokens();
    batch.tokens += static_cast<std::int64_t>(batch.slots.back().tokens.size());
  }
  return batch;
}

std::int64_t StepStream::steps_for(double epochs) const {
  require(epochs > 0.0 && std::isfinite(epochs), "train.epochs = {} must be above 0", epochs);
  // Rows are counted in whole numbers where the epochs are, so that rounding never adds a step.
  const double rows = std::ceil(epochs * static_cast<double>(reader_.rows()) - 1e-6);
  require(rows < 9e15, "{} epochs are more rows than can be counted", epochs);
  return std::max<std::int64_t>(1, div_up(static_cast<std::int64_t>(rows), options_.sequences_per_step));
}

}  // namespace ranktune
