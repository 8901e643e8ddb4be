#include "train/step_guard.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace ranktune {
namespace {

constexpr std::int64_t kMostLeftOut = std::int64_t{1} << 40;

/// What a rewind leaves out: steps from first to last.
struct LeftOut {
  Rewind rewind;
  std::int64_t first = 0, last = 0;
};
std::vector<LeftOut> left_out_by(const std::vector<Rewind>& rewinds) {
  std::vector<LeftOut> all;
  std::int64_t width = 1;
  for (const Rewind& rewind : rewinds) {
    if (rewind.reason != Trouble::kLossSpike) continue;
    width = std::min(2 * width, kMostLeftOut);
    all.push_back({rewind, rewind.step - width + 1, rewind.step});
  }
  return all;
}

}  // namespace

GuardPolicy guard_policy_of(std::string_view name) {
  if (name == "off") return GuardPolicy::kOff;
  if (name == "skip") return GuardPolicy::kSkip;
  if (name == "rewind") return GuardPolicy::kRewind;
  if (name == "stop") return GuardPolicy::kStop;
  fail("\"{}\" is no policy for bad steps; use \"skip\", \"rewind\" or \"stop\"", name);
}

std::string_view trouble_name(Trouble trouble) {
  return trouble == Trouble::kLossSpike ? "loss_spike" : "non_finite";
}

StepGuard::StepGuard(const GuardOptions& options, std::vector<Rewind> rewinds)
    : options_(options), rewinds_(std::move(rewinds)) {
  require(options.non_finite != GuardPolicy::kOff, "NaN and infinity cannot go unguarded");
}

bool StepGuard::is_left_out(std::int64_t step) const {
  return std::ranges::any_of(left_out_by(rewinds_),
                             [step](const LeftOut& each) { return step >= each.first && step <= each.last; });
}

bool holds_left_out(std::int64_t done, const std::vector<Rewind>& known, const std::vector<Rewind>& rewinds) {
  return std::ranges::any_of(left_out_by(rewinds), [&](const LeftOut& each) {
    return each.first < done && std::ranges::find(known, each.rewind) == known.end();
  });
}

double StepGuard::median() const {
  std::vector<double> sorted(recent_.begin(), recent_.end());
  if (sorted.empty()) return 0;
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

bool StepGuard::is_spike(double loss) const {
  return options_.loss_spike != GuardPolicy::kOff &&
         static_cast<std::int64_t>(recent_.size()) >= options_.spike_window &&
         loss > options_.spike_factor * median();
}

GuardPolicy StepGuard::judge(std::int64_t step, Trouble trouble) {
  const GuardPolicy policy = trouble == Trouble::kLossSpike ? options_.loss_spike : options_.non_finite;
  if (policy != GuardPolicy::kRewind) return policy;
  const Rewind rewind{step, trouble};
  if (std::ranges::find(rewinds_, rewind) != rewinds_.end()) return GuardPolicy::kSkip;
  if (static_cast<std::int64_t>(rewinds_.size()) >= options_.max_rewinds) return GuardPolicy::kStop;
  rewinds_.push_back(rewind);
  return GuardPolicy::kRewind;
}

void StepGuard::note(double loss) {
  if (options_.loss_spike == GuardPolicy::kOff) return;
  recent_.push_back(loss);
  while (static_cast<std::int64_t>(recent_.size()) > options_.spike_window) recent_.pop_front();
}

OrderedJson StepGuard::state() const {
  return options_.loss_spike == GuardPolicy::kOff ? OrderedJson(nullptr) : OrderedJson(recent_);
}

void StepGuard::restore(const Json& state) {
  recent_.clear();
  if (!state.is_array()) return;  // of a run that did not look for spikes
  for (const Json& loss : state) {
    require(loss.is_number(), "trainer.json: \"recent_losses\" holds {}", loss.dump());
    note(loss.get<double>());
  }
}

std::string rewinds_text(const std::vector<Rewind>& rewinds) {
  OrderedJson list = OrderedJson::array();
  for (const Rewind& rewind : rewinds)
    list.push_back({{"step", rewind.step + 1}, {"reason", std::string(trouble_name(rewind.reason))}});
  return list.dump() + "\n";
}

std::vector<Rewind> parse_rewinds(std::string_view text, std::string_view where) {
  const Json list = parse_json(text, where);
  require(list.is_array(), "{}: not a list of rewinds", where);
  std::vector<Rewind> rewinds;
  for (const Json& entry : list) {
    const auto reason = json_get<std::string>(entry, "reason", where);
    const auto step = json_get<std::int64_t>(entry, "step", where);
    require(step >= 1 && (reason == "loss_spike" || reason == "non_finite"),
            "{}: a rewind for \"{}\" at step {} is not understood", where, reason, step);
    rewinds.push_back({step - 1, reason == "loss_spike" ? Trouble::kLossSpike : Trouble::kNonFinite});
  }
  return rewinds;
}

}  // namespace ranktune
