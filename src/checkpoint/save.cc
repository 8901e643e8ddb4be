#include "checkpoint/save.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <iterator>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "checkpoint/checkpoint_paths.h"
#include "checkpoint/manifest.h"
#include "checkpoint/optimizer_file.h"
#include "checkpoint/retention.h"
#include "checkpoint/trainer_file.h"
#include "comm/collectives.h"

namespace ranktune {
namespace {

/// Room for manifest, folder blocks and what other programs write meanwhile.
constexpr std::uint64_t kSpareBytes = std::uint64_t{4} << 20;

void sync_file(const Path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  require(descriptor >= 0, "cannot open {}{}", path.string(), errno_text());
  const bool synced = ::fsync(descriptor) == 0;
  const std::string reason = synced ? "" : errno_text();
  ::close(descriptor);
  require(synced, "cannot write {}{}", path.string(), reason);
}

void rename_folder(const Path& from, const Path& to) {
  std::error_code error;
  std::filesystem::rename(from, to, error);
  require(!error, "cannot rename {} to {}: {}", from.string(), to.string(), error.message());
}

/// What a rank tells the others of its files.
struct WriterReport {
  std::string host;
  double seconds = 0.0;
  std::vector<ManifestEntry> files;

  std::string text() const {
    Json list = Json::array();
    for (const ManifestEntry& entry : files) list.push_back({entry.name, entry.size, entry.hash});
    return Json{{"host", host}, {"seconds", seconds}, {"files", std::move(list)}}.dump();
  }

  static WriterReport parse(const std::string& text) {
    const Json json = parse_json(text, "report of another rank");
    WriterReport report{.host = json.at("host"), .seconds = json.at("seconds"), .files = {}};
    for (const Json& item : json.at("files"))
      report.files.push_back(
          {item.at(0).get<std::string>(), item.at(1).get<std::uint64_t>(), item.at(2).get<std::string>()});
    return report;
  }
};

/// The steps of one save; each is local, the collective order is in save_checkpoint().
class Save {
 public:
  Save(const SaveSetup& setup, const CheckpointSnapshot& snapshot, const Communicator& control)
      : setup_(setup),
        snapshot_(snapshot),
        rank_(control.rank()),
        ranks_(control.size()),
        temporary_(setup.root / temporary_name({snapshot.step, setup.attempt})),
        place_(setup.root / checkpoint_name(snapshot.step)) {}

  std::uint64_t bytes_needed() const {
    std::uint64_t bytes = optimizer_file_bytes(snapshot_.optimizer);
    if (rank_ == 0)
      for (const CheckpointFile& file : snapshot_.files) bytes += file.bytes;
    return bytes;
  }

  /// Rank 0: room and an empty temporary folder.
  void prepare(std::uint64_t bytes_of_all) const {
    if (rank_ != 0) return;
    reach(SaveStage::kBegin);
    if (!std::filesystem::exists(setup_.root))
      log_warning("{} is gone, and all checkpoints in it; it is made anew", setup_.root.string());
    make_folders(setup_.root);
    remove_stale_temporaries(setup_.root, setup_.attempt);
    const std::uint64_t free = free_bytes(setup_.root);
    require(free >= bytes_of_all + kSpareBytes, "{} has {} bytes free, a checkpoint needs about {}",
            setup_.root.string(), free, bytes_of_all + kSpareBytes);
    std::error_code error;
    const bool made = std::filesystem::create_directory(temporary_, error);
    require(made && !error, "cannot make folder {}: {}", temporary_.string(),
            error ? error.message() : "it exists");
  }

  /// Every rank: its own files, on disk when this returns.
  void write_files() {
    wait_until_visible(temporary_, setup_.visibility_patience);
    const auto begin = std::chrono::steady_clock::now();
    const std::string name = optimizer_file_name({.part = rank_, .parts = ranks_});
    write_optimizer_file(temporary_ / name, snapshot_.optimizer, setup_.identity.layout.hash());
    add_entry(name);
    reach(SaveStage::kFiles);
    if (rank_ == 0) write_common_files();
    report_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }

  void write_common_files() {
    for (const CheckpointFile& file : snapshot_.files) {
      require_plain_name(file.name, "checkpoint");
      file.write(temporary_ / file.name);
      if (setup_.progress) setup_.progress();
      sync_file(temporary_ / file.name);
      add_entry(file.name);
    }
    const std::string trainer(kTrainerFile);
    write_file(temporary_ / trainer, trainer_text(snapshot_, setup_.identity));
    add_entry(trainer);
  }

  std::string own_report() const { return report_.text(); }

  /// Every rank: what all of them wrote is seen from here.
  void see_files(const std::vector<std::string>& reports) {
    manifest_ = {.step = snapshot_.step, .validation_loss = snapshot_.validation_loss, .files = {}};
    for (std::size_t rank = 0; rank < reports.size(); ++rank) {
      WriterReport report = WriterReport::parse(reports[rank]);
      std::ranges::move(report.files, std::back_inserter(manifest_.files));
      if (report.seconds <= slowest_.seconds) continue;
      slowest_ = {.rank = static_cast<int>(rank), .host = std::move(report.host), .seconds = report.seconds};
    }
    std::ranges::sort(manifest_.files, {}, &ManifestEntry::name);
    Manifest::parse(manifest_.text(), "manifest of the new checkpoint");  // finds a name given twice
    wait_until_visible(temporary_, manifest_.files, setup_.visibility_patience);
  }

  /// The manifest, then the name, by rank 0.
  void publish() {
    if (rank_ != 0) return reach(SaveStage::kPublish);
    write_file(temporary_ / kManifestFile, manifest_.text());
    sync_folder(temporary_);
    reach(SaveStage::kPublish);
    put_in_place();
  }

  /// Rank 0, after publishing: what is removed is older than a whole checkpoint. So even a writer that is
  /// stopped in here, and goes on when another attempt works already, takes nothing that anybody needs.
  std::vector<std::string> prune() const {
    if (rank_ != 0) return {};
    try {
      reach(SaveStage::kPrune);
      return prune_checkpoints(setup_.root, snapshot_.step, setup_.options);
    } catch (const Error& error) {
      log_warning("older checkpoints stay: {}", error.what());
      return {};
    }
  }

  void remove_temporary() const {
    if (rank_ != 0) return;
    std::error_code ignored;  // the failure that led here is the one to report
    std::filesystem::remove_all(temporary_, ignored);
  }

  std::uint64_t bytes() const { return manifest_.bytes(); }
  const SlowestWriter& slowest() const { return slowest_; }

  void reach(SaveStage stage) const {
    if (setup_.at_stage) setup_.at_stage(stage, snapshot_.step);
  }

 private:
  void add_entry(const std::string& name) {
    if (setup_.progress) setup_.progress();
    report_.files.push_back(describe_file(temporary_, name, setup_.progress));
  }

  void put_in_place() const {
    const bool replaces = std::filesystem::exists(place_);
    if (replaces && exchange()) return;
    const Path aside = setup_.root / replaced_name({snapshot_.step, setup_.attempt});
    if (replaces) rename_folder(place_, aside);
    try {
      rename_folder(temporary_, place_);
    } catch (const Error&) {
      std::error_code ignored;  // the failure that led here is the one to report
      if (replaces) std::filesystem::rename(aside, place_, ignored);
      throw;
    }
    sync_folder(setup_.root);
    if (!replaces) return;
    std::error_code ignored;  // the next save tries again
    std::filesystem::remove_all(aside, ignored);
  }

  /// Gives the name to the new folder and takes it from the old one in one step. So the name is never without
  /// a checkpoint; and where another attempt has taken over and removed this one's folder, its checkpoint of
  /// this name stays. False where the filesystem cannot do it.
  bool exchange() const {
    if (!exchange_folders(temporary_, place_)) {
      require(std::filesystem::exists(temporary_), "{} is gone", temporary_.string());
      return false;
    }
    sync_folder(setup_.root);
    std::error_code ignored;  // the next save tries again
    std::filesystem::remove_all(temporary_, ignored);
    return true;
  }

  const SaveSetup& setup_;
  const CheckpointSnapshot& snapshot_;
  int rank_, ranks_;
  Path temporary_, place_;
  WriterReport report_{.host = host_name(), .files = {}};  ///< of this rank
  SlowestWriter slowest_;
  Manifest manifest_;
};

/// Runs a local step and tells every rank how it went: "" or what went wrong on the first rank that failed.
/// An error of the communicator itself is thrown: without the other ranks training cannot go on.
std::string failure_anywhere(Communicator& control, const std::function<void()>& action) {
  std::string own;
  try {
    action();
  } catch (const std::exception& error) {
    own = fmt::format("rank {} ({}): {}", control.rank(), host_name(), error.what());
  }
  for (std::string& failure : all_gather_strings(control, own))
    if (!failure.empty()) return std::move(failure);
  return {};
}

std::string run(Save& save, Communicator& control) {
  const auto bytes =
      all_reduce_value(control, static_cast<std::int64_t>(save.bytes_needed()), ReduceOp::kSum);
  std::string failure = failure_anywhere(control, [&] { save.prepare(static_cast<std::uint64_t>(bytes)); });
  if (failure.empty()) failure = failure_anywhere(control, [&] { save.write_files(); });
  if (!failure.empty()) return failure;
  const std::vector<std::string> reports = all_gather_strings(control, save.own_report());
  failure = failure_anywhere(control, [&] { save.see_files(reports); });
  if (!failure.empty()) return failure;
  return failure_anywhere(control, [&] { save.publish(); });
}

}  // namespace

SaveResult save_checkpoint(const SaveSetup& setup, const CheckpointSnapshot& snapshot,
                           Communicator& control) {
  const auto start = std::chrono::steady_clock::now();
  SaveResult result{.name = checkpoint_name(snapshot.step), .failure = {}, .pruned = {}};
  Save save(setup, snapshot, control);
  result.failure = run(save, control);
  result.saved = result.failure.empty();
  if (result.saved) {
    result.bytes = save.bytes();
    result.slowest = save.slowest();
    result.pruned = save.prune();
  } else {
    save.remove_temporary();
    if (control.rank() == 0) save.reach(SaveStage::kFailed);
    if (control.rank() == 0)
      log_warning("checkpoint {} was not saved, training goes on: {}", result.name, result.failure);
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace ranktune
