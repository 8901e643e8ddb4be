#include "checkpoint/compare.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>

#include "base/error.h"
#include "base/json.h"
#include "checkpoint/checkpoint_paths.h"
#include "checkpoint/manifest.h"
#include "checkpoint/optimizer_file.h"
#include "checkpoint/trainer_file.h"
#include "storage/safetensors.h"

namespace ranktune {
namespace {

constexpr std::size_t kChunk = 1 << 16;
constexpr std::size_t kLongestValue = 60;

/// One side of the comparison.
struct Side {
  Path folder;
  Manifest manifest;
  Json trainer;
  std::set<std::string> files;  ///< but for manifest and optimizer parts

  explicit Side(const Path& given)
      : folder(given), manifest(Manifest::read(given)), trainer(read_trainer(given, manifest)) {
    for (const ManifestEntry& file : manifest.files)
      if (!parse_optimizer_file_name(file.name)) files.insert(file.name);
  }
};

/// Elements that differ, and by how much.
struct Spread {
  std::int64_t differing = 0, elements = 0, not_finite = 0;
  double largest = 0;

  void include(std::span<const float> a, std::span<const float> b) {
    for (std::size_t i = 0; i < a.size(); ++i) {
      ++elements;
      if (std::bit_cast<std::uint32_t>(a[i]) == std::bit_cast<std::uint32_t>(b[i])) continue;
      ++differing;
      const double distance = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
      if (std::isfinite(distance))
        largest = std::max(largest, distance);
      else
        ++not_finite;
    }
  }

  std::string text() const {
    std::string result = fmt::format("{} of {} elements, by up to {:.3g}", differing, elements, largest);
    if (not_finite > 0) result += fmt::format(", {} of them not finite", not_finite);
    return result;
  }
};

std::string shown(const std::string& value) {
  return value.size() > kLongestValue ? value.substr(0, kLongestValue) + "..." : value;
}

bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16 || dtype == DType::kF64;
}

Spread spread_of(const TensorInfo& a, const TensorInfo& b) {
  Spread spread;
  const std::size_t size = dtype_size(a.dtype);
  std::vector<float> left, right;
  for (std::size_t begin = 0; begin < a.data.size(); begin += kChunk * size) {
    const std::size_t bytes = std::min(kChunk * size, a.data.size() - begin);
    left.resize(bytes / size);
    right.resize(bytes / size);
    widen_to_f32(a.data.subspan(begin, bytes), a.dtype, left);
    widen_to_f32(b.data.subspan(begin, bytes), b.dtype, right);
    spread.include(left, right);
  }
  return spread;
}

class Comparer {
 public:
  Comparer(const Path& first, const Path& second) : first_(first), second_(second) {}

  CheckpointComparison run() {
    for (const std::string& name : both(first_.files, second_.files)) {
      if (name.ends_with(".safetensors"))
        compare_tensors(name);
      else if (name.ends_with(".json"))
        compare_json(name);
      else
        compare_bytes(name);
    }
    compare_losses();
    compare_optimizers();
    return std::move(result_);
  }

 private:
  void differ(std::string what, std::string change) {
    result_.differences.push_back({std::move(what), std::move(change)});
  }
  void differ(std::string what, const Spread& spread) {
    result_.largest = std::max(result_.largest, spread.largest);
    differ(std::move(what), spread.text());
  }

  /// Names in both; the others are differences.
  std::vector<std::string> both(const std::set<std::string>& a, const std::set<std::string>& b,
                                const std::string& prefix = "") {
    std::vector<std::string> common;
    for (const std::string& name : a) {
      if (b.contains(name))
        common.push_back(name);
      else
        differ(prefix + name, "only in the first");
    }
    for (const std::string& name : b)
      if (!a.contains(name)) differ(prefix + name, "only in the second");
    return common;
  }

  void compare_bytes(const std::string& name) {
    if (describe_file(first_.folder, name).hash != describe_file(second_.folder, name).hash)
      differ(name, "another content");
  }

  void compare_json(const std::string& name) {
    const auto fields = [&](const Path& folder) {
      Json json = read_json_file(folder / name);
      if (json.is_object()) json.erase("layout");  // the tensors themselves are compared
      const Json fields_by_path = json.flatten();
      std::map<std::string, std::string> flat;
      for (const auto& [key, value] : fields_by_path.items()) {
        std::string path = key.substr(key.empty() ? 0 : 1);
        std::ranges::replace(path, '/', '.');
        flat[path] = value.dump(-1, ' ', false, Json::error_handler_t::replace);
      }
      return flat;
    };
    const auto a = fields(first_.folder), b = fields(second_.folder);
    const auto keys = [](const auto& flat) {
      std::set<std::string> names;
      for (const auto& [key, value] : flat) names.insert(key);
      return names;
    };
    for (const std::string& key : both(keys(a), keys(b), name + ": "))
      if (a.at(key) != b.at(key))
        differ(fmt::format("{}: {}", name, key), fmt::format("{} -> {}", shown(a.at(key)), shown(b.at(key))));
  }

  void compare_tensors(const std::string& file) {
    const auto a = SafetensorsFile::open(first_.folder / file);
    const auto b = SafetensorsFile::open(second_.folder / file);
    const auto names = [](const SafetensorsFile& whole) {
      std::set<std::string> result;
      for (const TensorInfo& tensor : whole.tensors()) result.insert(tensor.name);
      return result;
    };
    for (const std::string& name : both(names(a), names(b), file + ": ")) {
      const TensorInfo& left = a.get(name);
      const TensorInfo& right = b.get(name);
      ++result_.tensors;
      const std::string what = fmt::format("{}: {}", file, name);
      if (left.dtype != right.dtype || left.shape != right.shape)
        differ(what, fmt::format("{} {} -> {} {}", dtype_name(left.dtype), shape_text(left.shape),
                                 dtype_name(right.dtype), shape_text(right.shape)));
      else if (std::ranges::equal(left.data, right.data))
        continue;
      else if (is_float(left.dtype))
        differ(what, spread_of(left, right));
      else
        differ(what, "another content");
    }
  }

  void compare_losses() {
    const auto text = [](const Side& side) {
      return side.manifest.validation_loss ? fmt::format("{}", *side.manifest.validation_loss) : "none";
    };
    if (text(first_) != text(second_))
      differ("validation loss", fmt::format("{} -> {}", text(first_), text(second_)));
  }

  /// Tensor by tensor, so that no more than one of them is in memory.
  void compare_optimizers() {
    const FlatLayout layout = saved_layout(first_.trainer, first_.folder.string());
    if (layout.hash() != saved_layout(second_.trainer, second_.folder.string()).hash())
      return differ("optimizer state", "of other trained tensors");
    const bool masters = has_master(first_), other_masters = has_master(second_);
    if (masters != other_masters)
      differ("optimizer: master", masters ? "only in the first" : "only in the second");
    for (int i = 0; i < layout.count(); ++i) {
      const FlatRange range{layout.offset(i), layout.offset(i) + layout.numel(i)};
      const auto read = [&](const Side& side) {
        return read_optimizer_range({.folder = side.folder,
                                     .parts = side.manifest.optimizer_parts(side.folder.string()),
                                     .layout_hash = layout.hash(),
                                     .total = layout.total(),
                                     .range = range,
                                     .need_master = masters && other_masters});
      };
      const OptimizerSnapshot a = read(first_), b = read(second_);
      if (i == 0 && a.updates != b.updates)
        differ("optimizer: updates", fmt::format("{} -> {}", a.updates, b.updates));
      const std::string& name = layout.specs()[static_cast<std::size_t>(i)].name;
      compare_states("exp_avg", name, a.exp_avg, b.exp_avg);
      compare_states("exp_avg_sq", name, a.exp_avg_sq, b.exp_avg_sq);
      compare_states("master", name, a.master, b.master);
    }
  }

  void compare_states(const char* part, const std::string& name, const std::vector<float>& a,
                      const std::vector<float>& b) {
    if (a.empty()) return;
    ++result_.tensors;
    Spread spread;
    spread.include(a, b);
    if (spread.differing > 0) differ(fmt::format("optimizer: {} of {}", part, name), spread);
  }

  static bool has_master(const Side& side) {
    const int parts = side.manifest.optimizer_parts(side.folder.string());
    return SafetensorsFile::open(side.folder / optimizer_file_name({.part = 0, .parts = parts}))
               .find("master") != nullptr;
  }

  Side first_, second_;
  CheckpointComparison result_;
};

}  // namespace

CheckpointComparison compare_checkpoints(const Path& first, const Path& second) {
  return Comparer(first, second).run();
}

}  // namespace ranktune
