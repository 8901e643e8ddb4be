#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "ownership/process_identity.h"

namespace ranktune {

/// Every name in run.dir/owner is made and recognised here.
/// "attempt-000003.json": attempt 3 of the run owns it, if no higher one is there.
/// "attempt-000003.ended.json": it owned it, and has given it back.
struct LeaseName {
  std::int64_t attempt = 0;
  bool ended = false;
};
std::string lease_name(LeaseName name);
std::optional<LeaseName> parse_lease_name(std::string_view name);
/// What a process that wants to become the owner has prepared.
inline constexpr std::string_view kClaimPrefix = ".claim-";

/// The leases in a folder, the highest attempt first; none where it does not exist.
std::vector<LeaseName> list_leases(const Path& folder);

/// Who an attempt is: {"format": 1, "attempt", "since", "host", "machine", "pid", "started", "job",
/// "restarts"}. The file's modification time is its last sign of life.
struct Lease {
  std::int64_t attempt = 0;
  ProcessIdentity owner;
  std::string since;  ///< "2026-11-26 17:20:11 UTC"

  std::string text() const;
  static Lease parse(std::string_view text, std::string_view where);
  /// "attempt 3 of this run (rank 0 on host n1, process 4711, Slurm job 12, since ...)"
  std::string description() const;
};

}  // namespace ranktune
