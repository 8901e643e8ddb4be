#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ranktune {

/// Every name in a checkpoint folder is made and recognised here.
inline constexpr std::string_view kTrainerFile = "trainer.json";
inline constexpr std::string_view kManifestFile = "manifest.json";
inline constexpr std::string_view kCheckpointsFolder = "checkpoints";  ///< of a run folder

/// "step-000120"; more digits where the step needs them.
std::string checkpoint_name(std::int64_t step);
std::optional<std::int64_t> parse_checkpoint_name(std::string_view name);

/// ".step-000120.tmp-3": what attempt 3 of the run is writing, or left behind.
struct TemporaryName {
  std::int64_t step = 0;
  std::int64_t attempt = 0;
};
std::string temporary_name(TemporaryName name);
std::optional<TemporaryName> parse_temporary_name(std::string_view name);

/// ".step-000120.old-3": an older checkpoint of the same step, set aside while its successor takes the name.
std::string replaced_name(TemporaryName name);
std::optional<TemporaryName> parse_replaced_name(std::string_view name);

/// ".step-000120.bad-1": a damaged checkpoint that a repair set aside, the first of its step.
std::string bad_name(TemporaryName name);

/// "optimizer-00000-of-00002.safetensors": state of one partition.
struct OptimizerPart {
  int part = 0;
  int parts = 1;
};
std::string optimizer_file_name(OptimizerPart part);
std::optional<OptimizerPart> parse_optimizer_file_name(std::string_view name);

/// Throws unless `name` is a plain file name (no folder, not hidden), as files of a checkpoint must have.
void require_plain_name(std::string_view name, std::string_view where);

}  // namespace ranktune
