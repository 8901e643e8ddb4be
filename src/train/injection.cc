#include "train/injection.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "base/nearest.h"

namespace ranktune {
namespace {

template <typename Value>
struct Entry {
  const char* name;
  Value value;
  const char* meaning;
};
template <typename Value>
Entry(const char*, Value, const char*) -> Entry<Value>;  // clang deduces none for an aggregate
constexpr std::array kKinds{
    Entry{"kill", FaultKind::kKill, "SIGKILL"},
    Entry{"stop", FaultKind::kStop, "SIGSTOP"},
    Entry{"exit", FaultKind::kExit, "leaves without MPI knowing, with code=N (1)"},
    Entry{"throw", FaultKind::kThrow, "an error of this rank alone"},
    Entry{"oom", FaultKind::kOom, "gets no more memory"},
    Entry{"nan", FaultKind::kNan, "NaN in a gradient"},
    Entry{"nan-loss", FaultKind::kNanLoss, "NaN instead of a loss"},
    Entry{"stall", FaultKind::kStall, "sleeps for seconds=S (for ever)"},
    Entry{"slow-disk", FaultKind::kSlowDisk, "every save takes seconds=S (10) longer"},
};

constexpr std::array kPhases{
    Entry{"step", FaultPhase::kStep, "before the step (the default)"},
    Entry{"reduce", FaultPhase::kReduce, "between gradients and their sum"},
    Entry{"validation", FaultPhase::kValidation, "before a validation"},
    Entry{"save", FaultPhase::kSave, "in the middle of writing a checkpoint"},
    Entry{"publish", FaultPhase::kPublish, "a checkpoint is written and has no name yet"},
    Entry{"export", FaultPhase::kExport, "before the result is written"},
    Entry{"end", FaultPhase::kEnd, "all is done, the processes have yet to end"},
};

template <typename Table>
std::vector<std::string> names_of(const Table& table) {
  std::vector<std::string> names;
  for (const auto& entry : table) names.emplace_back(entry.name);
  return names;
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

[[noreturn]] void refuse(std::string_view text, const std::string& problem) {
  throw Error(fmt::format("--inject {}: {}", text, problem), ErrorKind::kUsage);
}

template <typename Table>
const auto& find_entry(const Table& table, std::string_view name, const char* what, std::string_view text) {
  const auto found = std::ranges::find_if(table, [&](const auto& entry) { return entry.name == name; });
  if (found != table.end()) return *found;
  const std::vector<std::string> names = names_of(table);
  refuse(text, fmt::format("\"{}\" is no {} (there are {}){}", name, what, listed(names),
                           did_you_mean(name, names)));
}

/// A whole number from `low` to `high`.
template <typename Number>
Number number_in(std::string_view value, Number low, Number high, std::string_view key,
                 std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  // Negated so that a NaN is refused too.
  if (error != std::errc() || end != value.data() + value.size() || !(number >= low && number <= high))
    refuse(text, fmt::format("{} is \"{}\", not a number from {} to {}", key, value, low, high));
  return number;
}

/// What becomes a number of the step, and needs no phase.
bool spoils_numbers(FaultKind kind) { return kind == FaultKind::kNan || kind == FaultKind::kNanLoss; }
bool sleeps(FaultKind kind) { return kind == FaultKind::kStall || kind == FaultKind::kSlowDisk; }

void set_key(Fault& fault, std::string_view key, std::string_view value, std::string_view text) {
  constexpr std::int64_t kManySteps = 1'000'000'000'000;
  constexpr int kManyRanks = 1'000'000, kLargestCode = 255;
  constexpr double kManySeconds = 1e6;
  static const std::vector<std::string> keys{"rank", "step", "phase", "attempt", "seconds", "code"};
  if (key == "rank") {
    fault.rank = number_in(value, 0, kManyRanks, key, text);
  } else if (key == "step") {
    fault.step = number_in(value, std::int64_t{1}, kManySteps, key, text);
  } else if (key == "attempt") {
    fault.attempt = number_in(value, std::int64_t{1}, kManySteps, key, text);
  } else if (key == "phase") {
    fault.phase = find_entry(kPhases, value, "phase", text).value;
    if (spoils_numbers(fault.kind)) refuse(text, "a gradient or loss has no phase: leave phase out");
    if (fault.kind == FaultKind::kSlowDisk && fault.phase != FaultPhase::kSave)
      refuse(text, "a disk is slow in phase=save only");
  } else if (key == "seconds") {
    if (!sleeps(fault.kind)) refuse(text, "seconds belongs to stall and slow-disk");
    fault.seconds = number_in(value, 0.0, kManySeconds, key, text);
  } else if (key == "code") {
    if (fault.kind != FaultKind::kExit) refuse(text, "code belongs to exit");
    fault.code = number_in(value, 0, kLargestCode, key, text);
  } else {
    refuse(text,
           fmt::format("\"{}\" is no key (there are {}){}", key, listed(keys), did_you_mean(key, keys)));
  }
}

[[noreturn]] void sleep_for_ever() {
  for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

/// From here on the process gets next to no memory beyond what it has, as in a full container: too little for
/// a tensor, enough for its last words. The allocation that fails is a real one.
[[noreturn]] void run_out_of_memory() {
  rlim_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit limit{};
  require(pages > 0 && ::getrlimit(RLIMIT_AS, &limit) == 0, "the size of this process cannot be found out");
  constexpr rlim_t kSlack = rlim_t{48} << 20;
  limit.rlim_cur = std::min(limit.rlim_max, pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + kSlack);
  const bool limited = ::setrlimit(RLIMIT_AS, &limit) == 0;
  require(limited, "the memory of this process cannot be limited{}", errno_text());
  constexpr std::size_t kBlock = std::size_t{64} << 20;
  std::vector<std::unique_ptr<char[]>> hoard;
  for (;;) hoard.push_back(std::make_unique<char[]>(kBlock));
}

void strike(const Fault& fault, std::int64_t step) {
  switch (fault.kind) {
    case FaultKind::kKill:
      ::kill(::getpid(), SIGKILL);
      sleep_for_ever();
    case FaultKind::kStop:
      // To this thread: sent to the process, it would let this thread go on for a moment.
      std::raise(SIGSTOP);
      return;
    case FaultKind::kExit:
      std::_Exit(fault.code);
    case FaultKind::kThrow:
      fail("step {}: an error was asked for (--inject {})", step, fault.text);
    case FaultKind::kOom:
      run_out_of_memory();
    case FaultKind::kStall:
      if (fault.seconds == 0) sleep_for_ever();
      [[fallthrough]];
    case FaultKind::kSlowDisk:
      std::this_thread::sleep_for(std::chrono::duration<double>(fault.seconds));
      return;
    case FaultKind::kNan:
    case FaultKind::kNanLoss:
      return;
  }
}

}  // namespace

Fault parse_fault(std::string_view text) {
  constexpr double kSlowSave = 10;
  const std::size_t colon = text.find(':');
  Fault fault;
  fault.text = text;
  fault.kind = find_entry(kKinds, text.substr(0, colon), "kind of fault", text).value;
  if (fault.kind == FaultKind::kSlowDisk) {
    fault.phase = FaultPhase::kSave;
    fault.seconds = kSlowSave;
  }
  if (colon == text.npos) return fault;
  std::string_view rest = text.substr(colon + 1);
  std::vector<std::string_view> seen;
  for (bool more = true; more;) {
    const std::size_t comma = rest.find(',');
    const std::string_view pair = rest.substr(0, comma);
    const std::size_t equals = pair.find('=');
    if (equals == pair.npos) refuse(text, fmt::format("\"{}\" is not KEY=VALUE", pair));
    const std::string_view key = pair.substr(0, equals);
    if (std::ranges::find(seen, key) != seen.end()) refuse(text, fmt::format("{} is given twice", key));
    seen.push_back(key);
    set_key(fault, key, pair.substr(equals + 1), text);
    more = comma != rest.npos;
    if (more) rest.remove_prefix(comma + 1);
  }
  return fault;
}

std::string fault_help() {
  std::string text = "Kinds of --inject KIND:rank=0,step=1,phase=step,attempt=1:\n";
  for (const auto& entry : kKinds) text += fmt::format("  {:<11} {}\n", entry.name, entry.meaning);
  text += "Phases, on the first meeting from that step on:\n";
  for (const auto& entry : kPhases) text += fmt::format("  {:<11} {}\n", entry.name, entry.meaning);
  text += "Attempts are the starts of a run in its run.dir, the first is 1; later ones are spared.\n";
  return text;
}

void Injection::arm(const std::vector<Fault>& faults, const RankPlace& place) {
  const std::lock_guard lock(mutex_);
  for (const Fault& fault : faults) {
    if (fault.attempt != place.attempt) continue;
    if (fault.rank >= place.ranks)
      refuse(fault.text, fmt::format("there is no rank {} among {}", fault.rank, place.ranks));
    if (fault.rank == place.rank) armed_.push_back({.fault = fault});
  }
}

std::vector<Fault> Injection::due(FaultPhase phase, std::int64_t step,
                                  const std::function<bool(FaultKind)>& wanted) {
  const std::lock_guard lock(mutex_);
  std::vector<Fault> found;
  for (Armed& each : armed_) {
    if (each.struck || !wanted(each.fault.kind) || each.fault.phase != phase || step < each.fault.step)
      continue;
    each.struck = each.fault.kind != FaultKind::kSlowDisk;
    found.push_back(each.fault);
    log_warning("step {}: --inject {} strikes now", step, each.fault.text);
  }
  return found;
}

void Injection::at(FaultPhase phase, std::int64_t step) {
  for (const Fault& fault : due(phase, step, std::not_fn(spoils_numbers))) strike(fault, step);
}

bool Injection::spoils(FaultKind kind, std::int64_t step) {
  return !due(FaultPhase::kStep, step, [kind](FaultKind other) { return other == kind; }).empty();
}

}  // namespace ranktune
