#include "verify/verify.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "base/error.h"
#include "comm/collectives.h"
#include "verify/check_forward.h"
#include "verify/check_gguf.h"
#include "verify/check_text.h"

namespace ranktune {
namespace {

namespace fs = std::filesystem;

/// Deeper trees hold no records; also what stops a loop of symbolic links.
constexpr int kMaxDepth = 8;

bool is_golden_model(const Path& folder) {
  return fs::exists(folder / "golden.safetensors") ||
         (fs::exists(folder / "meta.json") && fs::is_directory(folder / "adapters"));
}

void find_below(const Path& folder, int depth, Records& records) {
  if (is_golden_model(folder)) {
    records.models.push_back(folder);
    return;
  }
  if (fs::exists(folder / "generation.json") || fs::exists(folder / "tensors.json")) {
    records.ggufs.push_back(folder);
    return;
  }
  std::vector<Path> entries;
  for (const auto& entry : fs::directory_iterator(folder)) entries.push_back(entry.path());
  std::sort(entries.begin(), entries.end());
  for (const Path& entry : entries) {
    if (fs::is_directory(entry)) {
      if (depth < kMaxDepth) find_below(entry, depth + 1, records);
    } else if (entry.extension() == ".jsonl") {
      records.texts.push_back(entry);
    }
  }
}

/// The folders named `tokenizers` around ROOT/tokenizers/NAME.jsonl or ROOT/chat/NAME.jsonl, and ROOT itself.
std::vector<Path> tokenizer_places(const Path& file, const Path& given) {
  std::vector<Path> places;
  if (!given.empty()) places.push_back(given);
  const Path root = fs::absolute(file).lexically_normal().parent_path().parent_path();
  places.insert(places.end(), {root / "tokenizers", root, root.parent_path() / "tokenizers"});
  return places;
}

/// Runs a variant's checks on rank 0. False where the variant cannot be had at all: then nothing else of it
/// is tried, and its numbers count as dealt with.
bool check_variant_alone(GoldenModel& golden, const std::string& variant, torch::Device device,
                         Findings& findings) {
  try {
    check_variant(golden, variant, device, findings);
    return true;
  } catch (const std::exception& problem) {
    findings.add_failure(fmt::format("{}/{}", golden.name(), variant), "variant", problem.what());
    golden.set_aside(variant + ".");
    return false;
  }
}

void check_training(GoldenModel& golden, const std::string& variant, const TrajectoryRanks& ranks,
                    Findings& findings) {
  if (!golden.has(variant + ".train.loss")) return;
  findings.guard(fmt::format("{}/{}", golden.name(), variant), "training",
                 [&] { check_trajectory(golden, variant, ranks, findings); });
}

void report_uncompared(const GoldenModel& golden, Findings& findings) {
  const std::vector<std::string> names = golden.uncompared();
  if (!names.empty())
    findings.add_failure(golden.name(), "recorded tensors",
                         fmt::format("{} are not understood, e.g. {}", names.size(), names.front()));
}

}  // namespace

Records find_records(const std::vector<Path>& roots) {
  Records records;
  for (const Path& root : roots) {
    require(fs::exists(root), "{} does not exist; give a folder with recorded numbers", root.string());
    const Path whole = fs::absolute(root).lexically_normal();
    const Path path = whole.has_filename() ? whole : whole.parent_path();
    if (fs::is_directory(path))
      find_below(path, 0, records);
    else if (path.extension() == ".jsonl")
      records.texts.push_back(path);
    else
      fail("{} is neither a folder nor a .jsonl file", root.string());
  }
  return records;
}

void verify_model(const Path& folder, torch::ScalarType dtype, const TrajectoryRanks& ranks,
                  Findings& findings) {
  const bool root = ranks.control.rank() == 0;
  const std::string subject = folder.filename().string();
  findings.guard(subject, "folder", [&] {
    std::optional<GoldenModel> golden;
    together(ranks.control, [&] { golden.emplace(folder, dtype); });
    if (root) check_bare_model(*golden, ranks.device, findings);
    std::vector<std::string> variants = golden->variants();
    if (golden->trains_all() && golden->is_fp32()) variants.push_back("full");
    for (const std::string& variant : variants) {
      std::int64_t usable = 1;
      if (root) usable = check_variant_alone(*golden, variant, ranks.device, findings) ? 1 : 0;
      if (broadcast_value(ranks.control, usable, 0) != 0 && golden->is_fp32())
        check_training(*golden, variant, ranks, findings);
    }
    golden->set_aside("train.");  // what trajectories train on; their results bear the variant's name
    if (root && golden->is_fp32()) report_uncompared(*golden, findings);
  });
}

void verify_records(const Records& records, torch::ScalarType dtype, const VerifyPlaces& places,
                    const TrajectoryRanks& ranks, Findings& findings) {
  for (const Path& model : records.models) verify_model(model, dtype, ranks, findings);
  if (ranks.control.rank() != 0) return;
  for (const Path& folder : records.ggufs)
    check_gguf_folder(folder, {folder.parent_path(), places.models}, ranks.device, findings);
  for (const Path& file : records.texts)
    check_text_file(file, tokenizer_places(file, places.tokenizers), findings);
}

}  // namespace ranktune
