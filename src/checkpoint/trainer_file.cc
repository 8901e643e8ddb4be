#include "checkpoint/trainer_file.h"

#include <algorithm>

#include "base/error.h"
#include "checkpoint/checkpoint_paths.h"
#include "storage/safetensors.h"

namespace ranktune {
namespace {

constexpr int kFormat = 1;  // persistent
constexpr std::uint64_t kLargestTrainerFile = std::uint64_t{256} << 20;

OrderedJson layout_json(const FlatLayout& layout) {
  OrderedJson parameters = OrderedJson::array();
  for (const ParameterSpec& spec : layout.specs())
    parameters.push_back({{"name", spec.name}, {"shape", spec.shape}});
  return {{"hash", layout.hash()}, {"total", layout.total()}, {"parameters", std::move(parameters)}};
}

std::string parameter_text(const std::string& name, const std::vector<std::int64_t>& shape) {
  return name + " " + shape_text(shape);
}

/// The first tensor that differs, for a message.
std::string layout_difference(const Json& saved, const FlatLayout& layout, const std::string& where) {
  const Json parameters = json_get<Json>(saved, "parameters", where);
  require(parameters.is_array(), "{}: \"parameters\" is not a list", where);
  const std::size_t count = std::max(parameters.size(), layout.specs().size());
  for (std::size_t i = 0; i < count; ++i) {
    std::string there = "nothing";
    std::string here = "nothing";
    if (i < parameters.size())
      there = parameter_text(json_get<std::string>(parameters[i], "name", where),
                             json_get<std::vector<std::int64_t>>(parameters[i], "shape", where));
    if (i < layout.specs().size()) here = parameter_text(layout.specs()[i].name, layout.specs()[i].shape);
    if (there != here) return fmt::format("tensor {} is {} there and {} here", i, there, here);
  }
  return "their hashes differ";
}

void check_format(const Json& trainer, const std::string& where) {
  const int format = json_get<int>(trainer, "format", where);
  require(format == kFormat,
          "{}: was written by {} version of ranktune (format {}, this one reads format {}); go on with that "
          "version, or begin a new run with another run.dir",
          where, format > kFormat ? "a newer" : "an older", format, kFormat);
}

}  // namespace

std::string trainer_text(const CheckpointSnapshot& snapshot, const CheckpointIdentity& identity) {
  OrderedJson json{{"format", kFormat},
                   {"step", snapshot.step},
                   {"base_hash", identity.base_hash},
                   {"layout", layout_json(identity.layout)}};
  for (const auto& [key, value] : snapshot.trainer.items()) {
    require(!json.contains(key), "trainer.json: \"{}\" is a key of the checkpoint's own", key);
    json[key] = value;
  }
  return json.dump(2) + "\n";
}

Json read_trainer(const Path& folder, const Manifest& manifest) {
  const Path path = folder / kTrainerFile;
  Json trainer = parse_json(read_file(path, kLargestTrainerFile), path.string());
  check_format(trainer, path.string());
  require(json_get<std::int64_t>(trainer, "step", path.string()) == manifest.step,
          "{}: is of another step than its manifest", path.string());
  return trainer;
}

FlatLayout saved_layout(const Json& trainer, const std::string& where) {
  const Json layout = json_get<Json>(trainer, "layout", where);
  const Json parameters = json_get<Json>(layout, "parameters", where);
  require(parameters.is_array(), "{}: \"parameters\" is not a list", where);
  std::vector<ParameterSpec> specs;
  for (const Json& parameter : parameters)
    specs.push_back({.name = json_get<std::string>(parameter, "name", where),
                     .shape = json_get<std::vector<std::int64_t>>(parameter, "shape", where)});
  return FlatLayout(std::move(specs));
}

void check_trainer(const Json& trainer, const CheckpointIdentity& identity, const std::string& where) {
  check_format(trainer, where);
  const auto base = json_get<std::string>(trainer, "base_hash", where);
  require(base == identity.base_hash,
          "{}: the checkpoint belongs to the base model with hash {}, the model given has {}; resume with "
          "the model the "
          "training started from, or start in another run folder",
          where, base, identity.base_hash);
  const Json layout = json_get<Json>(trainer, "layout", where);
  if (json_get<std::string>(layout, "hash", where) != identity.layout.hash())
    fail(
        "{}: the checkpoint trains other tensors: {}; resume with the same [lora] settings, or start in "
        "another run folder",
        where, layout_difference(layout, identity.layout, where));
}

}  // namespace ranktune
