#include "checkpoint/optimizer_file.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>
#include <span>
#include <string_view>

#include "base/error.h"
#include "storage/read_range.h"
#include "storage/safetensors.h"
#include "storage/safetensors_writer.h"

namespace ranktune {
namespace {

constexpr std::string_view kFormat = "ranktune-optimizer-1";  // persistent

TensorInfo describe(const std::string& name, const std::vector<float>& values) {
  return {.name = name,
          .dtype = DType::kF32,
          .shape = {static_cast<std::int64_t>(values.size())},
          .data = std::as_bytes(std::span(values))};
}

const std::string& metadata_text(const SafetensorsFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  require(found != file.metadata().end(), "{}: its metadata lacks \"{}\"", file.where(), key);
  return found->second;
}

std::int64_t metadata_number(const SafetensorsFile& file, const std::string& key) {
  const std::string& text = metadata_text(file, key);
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  require(error == std::errc() && end == text.data() + text.size() && number >= 0,
          "{}: metadata \"{}\" is not a count: {}", file.where(), key, text.substr(0, 40));
  return number;
}

void check_metadata(const SafetensorsFile& file, const OptimizerReadPlan& plan, FlatRange part) {
  const std::string& format = metadata_text(file, "format");
  require(
      format == kFormat,
      "{}: format \"{}\" is not the \"{}\" that this program reads; go on with the version of ranktune that "
      "wrote it, or begin a new run with another run.dir",
      file.where(), format.substr(0, 40), kFormat);
  const FlatRange held{metadata_number(file, "begin"), metadata_number(file, "end")};
  const std::int64_t total = metadata_number(file, "total");
  require(held == part && total == plan.total, "{}: holds elements [{}, {}) of {}, not [{}, {}) of {}",
          file.where(), held.begin, held.end, total, part.begin, part.end, plan.total);
  require(metadata_text(file, "layout") == plan.layout_hash, "{}: was written for other trained tensors",
          file.where());
}

/// Copies the elements `both` of a tensor that covers `part` to their place in `values`, which cover
/// `wanted`.
struct Overlap {
  FlatRange part, wanted, both;
};
void copy_overlap(const SafetensorsFile& file, std::string_view name, const Overlap& where,
                  std::vector<float>& values, const std::function<void()>& progress) {
  const TensorInfo& tensor = file.get(name);
  require(tensor.dtype == DType::kF32 && tensor.shape.size() == 1 && tensor.shape[0] == where.part.size(),
          "{}: {} is {} {}, not F32 [{}]", file.where(), name, dtype_name(tensor.dtype),
          shape_text(tensor.shape), where.part.size());
  const auto skipped = static_cast<std::uint64_t>(where.both.begin - where.part.begin);
  const auto place = static_cast<std::size_t>(where.both.begin - where.wanted.begin);
  const auto count = static_cast<std::size_t>(where.both.size());
  const auto tensor_begin = static_cast<std::uint64_t>(tensor.data.data() - file.bytes().data());
  const std::span<float> out = std::span(values).subspan(place, count);
  constexpr std::size_t kPiece = 16 << 20;  // elements
  for (std::size_t done = 0; done < count; done += kPiece) {
    read_range(file.where(), tensor_begin + (skipped + done) * sizeof(float),
               std::as_writable_bytes(out.subspan(done, std::min(kPiece, count - done))));
    if (progress) progress();
  }
}

}  // namespace

void write_optimizer_file(const Path& path, const OptimizerSnapshot& state, const std::string& layout_hash) {
  std::vector<TensorInfo> tensors{describe("exp_avg", state.exp_avg),
                                  describe("exp_avg_sq", state.exp_avg_sq)};
  if (!state.master.empty()) tensors.push_back(describe("master", state.master));
  for (const TensorInfo& tensor : tensors)
    require(tensor.elements() == state.range.size(), "optimizer state: {} holds {} values for {} elements",
            tensor.name, tensor.elements(), state.range.size());
  write_safetensors(path, tensors,
                    {{"format", std::string(kFormat)},
                     {"begin", std::to_string(state.range.begin)},
                     {"end", std::to_string(state.range.end)},
                     {"total", std::to_string(state.total)},
                     {"updates", std::to_string(state.updates)},
                     {"layout", layout_hash}});
}

std::uint64_t optimizer_file_bytes(const OptimizerSnapshot& state) {
  constexpr std::uint64_t kHeader = 1024;
  return kHeader + sizeof(float) * (state.exp_avg.size() + state.exp_avg_sq.size() + state.master.size());
}

OptimizerSnapshot read_optimizer_range(const OptimizerReadPlan& plan) {
  OptimizerSnapshot state{.range = plan.range, .total = plan.total};
  const auto count = static_cast<std::size_t>(plan.range.size());
  state.exp_avg.resize(count);
  state.exp_avg_sq.resize(count);
  if (plan.need_master) state.master.resize(count);
  const Partition saved(plan.parts, plan.total);
  std::optional<std::int64_t> updates;
  for (int part = 0; part < plan.parts; ++part) {
    const FlatRange covered = saved.range(part);
    const Overlap where{covered, plan.range, intersect(covered, plan.range)};
    // Every rank learns the count of updates from the first part, though it may own nothing.
    if (where.both.size() == 0 && part != 0) continue;
    const auto file = SafetensorsFile::open(plan.folder / optimizer_file_name({part, plan.parts}));
    check_metadata(file, plan, covered);
    const std::int64_t of_file = metadata_number(file, "updates");
    require(!updates || *updates == of_file, "{}: is of {} updates, other parts of {}", file.where(), of_file,
            updates.value_or(0));
    updates = of_file;
    if (where.both.size() == 0) continue;
    copy_overlap(file, "exp_avg", where, state.exp_avg, plan.progress);
    copy_overlap(file, "exp_avg_sq", where, state.exp_avg_sq, plan.progress);
    if (!plan.need_master) continue;
    require(file.find("master") != nullptr,
            "{}: has no master weights; it was saved by a run that trained in float32, resume with the same "
            "model.dtype",
            file.where());
    copy_overlap(file, "master", where, state.master, plan.progress);
  }
  state.updates = updates.value_or(0);
  return state;
}

}  // namespace ranktune
