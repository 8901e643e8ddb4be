#include "train/bad_slots.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>

#include "base/log.h"
#include "comm/collectives.h"
#include "train/exact_sum.h"

namespace ranktune {
namespace {

constexpr std::size_t kNamedSlots = 4, kNamedRows = 16;

std::string rows_text(const std::vector<std::int64_t>& rows) {
  const std::size_t count = std::min(rows.size(), kNamedRows);
  std::string text = fmt::format("{}", fmt::join(std::span(rows).first(count), ", "));
  if (count < rows.size()) text += fmt::format(" and {} more", rows.size() - count);
  return text;
}

std::string slot_text(const StepBatch& batch, std::size_t number, const Communicator& control) {
  return fmt::format("slot {} on rank {} (host {}), rows {}", number, control.rank(), host_name(),
                     rows_text(batch.slots[number].rows));
}

/// What is wrong with one slot; "" where nothing is.
std::string fault_text(const ComputedSlot& slot, std::int64_t ordinal, const Zero2Optimizer& optimizer) {
  std::string text;
  if (!is_countable_loss(slot.loss_sum)) text = fmt::format("its loss is {}", slot.loss_sum);
  for (const BadSlot& bad : optimizer.bad_slots()) {
    if (bad.ordinal != ordinal) continue;
    if (!text.empty()) text += ", ";
    text += bad.finite ? "too large for the exact reduction is a gradient" : "NaN or infinity in a gradient";
    if (bad.parameter >= 0)
      text += ", first of " + optimizer.layout().specs()[static_cast<std::size_t>(bad.parameter)].name;
  }
  return text;
}

}  // namespace

std::string describe_bad_slots(const StepBatch& batch, const std::vector<ComputedSlot>& own,
                               const Zero2Optimizer& optimizer, Communicator& control) {
  std::vector<std::string> parts;
  std::size_t count = 0;
  for (std::size_t i = 0; i < own.size(); ++i) {
    const std::string fault = fault_text(own[i], static_cast<std::int64_t>(i), optimizer);
    if (fault.empty() || ++count > kNamedSlots) continue;
    parts.push_back(slot_text(batch, own[i].number, control) + ": " + fault);
  }
  if (count > kNamedSlots)
    parts.push_back(fmt::format("{} more slots on rank {}", count - kNamedSlots, control.rank()));
  std::string all;
  for (const std::string& text : all_gather_strings(control, fmt::format("{}", fmt::join(parts, "; "))))
    if (!text.empty()) all += (all.empty() ? "" : "; ") + text;
  return all.empty() ? "the sum of its slots' gradients is too large" : all;
}

std::string describe_worst_slot(const StepBatch& batch, const std::vector<ComputedSlot>& own,
                                Communicator& control) {
  double worst = -1;
  std::string text;
  for (const ComputedSlot& slot : own) {
    const auto tokens =
        static_cast<double>(std::max<std::int64_t>(batch.slots[slot.number].supervised_tokens(), 1));
    if (slot.loss_sum / tokens <= worst) continue;
    worst = slot.loss_sum / tokens;
    text = fmt::format("{}, loss {:.4g}", slot_text(batch, slot.number, control), worst);
  }
  const std::vector<double> all = all_gather_value(control, worst);
  broadcast_bytes(control, text, static_cast<int>(std::ranges::max_element(all) - all.begin()));
  return text;
}

}  // namespace ranktune
