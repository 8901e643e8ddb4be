#include "ownership/lease_file.h"

#include <algorithm>
#include <charconv>
#include <system_error>

#include "base/error.h"
#include "base/json.h"

namespace ranktune {
namespace {

constexpr std::int64_t kFormat = 1;  // persistent
constexpr std::string_view kPrefix = "attempt-", kEnd = ".json", kEndedEnd = ".ended.json";

}  // namespace

std::string lease_name(LeaseName name) {
  return fmt::format("{}{:06}{}", kPrefix, name.attempt, name.ended ? kEndedEnd : kEnd);
}

std::optional<LeaseName> parse_lease_name(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  LeaseName parsed{.ended = name.ends_with(kEndedEnd)};
  std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), parsed.attempt);
  // One attempt has one name: "attempt-7" or "attempt-000007.json~" would be somebody else's.
  if (parsed.attempt < 1 || lease_name(parsed) != name) return std::nullopt;
  return parsed;
}

std::vector<LeaseName> list_leases(const Path& folder) {
  std::vector<LeaseName> leases;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error))
    if (const auto name = parse_lease_name(entry->path().filename().string())) leases.push_back(*name);
  require(!error || error == std::errc::no_such_file_or_directory, "cannot read folder {}: {}",
          folder.string(), error.message());
  std::ranges::sort(leases, [](const LeaseName& a, const LeaseName& b) { return a.attempt > b.attempt; });
  return leases;
}

std::string Lease::text() const {
  return OrderedJson{{"format", kFormat},        {"attempt", attempt},       {"since", since},
                     {"host", owner.host},       {"machine", owner.machine}, {"pid", owner.pid},
                     {"started", owner.started}, {"job", owner.job},         {"restarts", owner.restarts}}
             .dump(2) +
         "\n";
}

Lease Lease::parse(std::string_view text, std::string_view where) {
  const Json json = parse_json(text, where);
  const auto format = json_get<std::int64_t>(json, "format", where);
  require(format == kFormat, "{}: is of format {}, but this program knows {} only", where, format, kFormat);
  return {.attempt = json_get<std::int64_t>(json, "attempt", where),
          .owner = {.host = json_get<std::string>(json, "host", where),
                    .machine = json_get<std::string>(json, "machine", where),
                    .pid = json_get<std::int64_t>(json, "pid", where),
                    .started = json_get<std::int64_t>(json, "started", where),
                    .job = json_get<std::string>(json, "job", where),
                    .restarts = json_get<std::int64_t>(json, "restarts", where)},
          .since = json_get<std::string>(json, "since", where)};
}

std::string Lease::description() const {
  return fmt::format("attempt {} of this run (rank 0 on host {}, process {}{}, since {})", attempt,
                     owner.host, owner.pid, owner.job.empty() ? std::string() : ", Slurm job " + owner.job,
                     since);
}

}  // namespace ranktune
