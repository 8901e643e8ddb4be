#include "checkpoint/optimizer_file.h"

#include <algorithm>
#include <charconv>
#include <span>
#include <string_view>
#include <utility>

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

/// A file that holds some of the wanted elements.
struct Part {
  SafetensorsFile file;
  FlatRange covered;  ///< its elements
  FlatRange both;     ///< those of them that are wanted
};

/// Those needed, checked. Every rank learns the count of updates from the first one, though it may want none
/// of its elements.
std::vector<Part> open_parts(const OptimizerReadPlan& plan) {
  const Partition saved(plan.parts, plan.total);
  std::vector<Part> parts;
  for (int number = 0; number < plan.parts; ++number) {
    const FlatRange covered = saved.range(number);
    const FlatRange both = intersect(covered, plan.range);
    if (both.size() == 0 && number != 0) continue;
    auto file = SafetensorsFile::open(plan.folder / optimizer_file_name({number, plan.parts}));
    check_metadata(file, plan, covered);
    parts.push_back({std::move(file), covered, both});
    const SafetensorsFile& last = parts.back().file;
    const std::int64_t updates = metadata_number(last, "updates");
    const std::int64_t of_first = metadata_number(parts.front().file, "updates");
    require(updates == of_first, "{}: is of {} updates, other parts of {}", last.where(), updates, of_first);
  }
  return parts;
}

void check_tensor(const Part& part, std::string_view name) {
  const TensorInfo& tensor = part.file.get(name);
  require(tensor.dtype == DType::kF32 && tensor.shape.size() == 1 && tensor.shape[0] == part.covered.size(),
          "{}: {} is {} {}, not F32 [{}]", part.file.where(), name, dtype_name(tensor.dtype),
          shape_text(tensor.shape), part.covered.size());
}

/// The wanted elements of a part to their place in `values`, which cover plan.range.
void copy_overlap(const Part& part, std::string_view name, const OptimizerReadPlan& plan,
                  std::vector<float>& values) {
  const SafetensorsFile& file = part.file;
  const auto skipped = static_cast<std::uint64_t>(part.both.begin - part.covered.begin);
  const auto place = static_cast<std::size_t>(part.both.begin - plan.range.begin);
  const auto count = static_cast<std::size_t>(part.both.size());
  const auto tensor_begin = static_cast<std::uint64_t>(file.get(name).data.data() - file.bytes().data());
  const std::span<float> out = std::span(values).subspan(place, count);
  constexpr std::size_t kPiece = 16 << 20;  // elements
  for (std::size_t done = 0; done < count; done += kPiece) {
    read_range(file.where(), tensor_begin + (skipped + done) * sizeof(float),
               std::as_writable_bytes(out.subspan(done, std::min(kPiece, count - done))));
    if (plan.progress) plan.progress();
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
  const std::vector<Part> parts = open_parts(plan);
  state.updates = parts.empty() ? 0 : metadata_number(parts.front().file, "updates");
  const auto read = [&](const char* name) {
    for (const Part& part : parts) check_tensor(part, name);
    std::vector<float> values(static_cast<std::size_t>(plan.range.size()));  // all of them are in the files
    for (const Part& part : parts) copy_overlap(part, name, plan, values);
    return values;
  };
  state.exp_avg = read("exp_avg");
  state.exp_avg_sq = read("exp_avg_sq");
  if (!plan.need_master) return state;
  for (const Part& part : parts)
    require(part.file.find("master") != nullptr,
            "{}: has no master weights; it was saved by a run that trained in float32, resume with the same "
            "model.dtype",
            part.file.where());
  state.master = read("master");
  return state;
}

}  // namespace ranktune
