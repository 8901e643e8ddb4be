// A digit, then 0: manifest.json; 1: the same without its hash, which is put in; 2: trainer.json; 3 and 4: an
// optimizer file; 5: the name of a file or folder.
#include "base/json.h"
#include "checkpoint/checkpoint_paths.h"
#include "checkpoint/manifest.h"
#include "checkpoint/optimizer_file.h"
#include "checkpoint/trainer_file.h"
#include "fuzz.h"

using namespace ranktune;

namespace {

constexpr FlatRange kWanted{10, 290};
constexpr std::int64_t kElements = 300;

void read_manifest(std::string_view text) {
  const Manifest manifest = Manifest::parse(text, "manifest.json");
  fuzz::may_refuse([&] { manifest.bytes(); });
  fuzz::may_refuse([&] { verify_files(fuzz::scratch().path(), manifest); });
  fuzz::demand(Manifest::parse(manifest.text(), "again").text() == manifest.text(),
               "a manifest is read as it was written");
}

/// A manifest's hash would refuse whatever a mutation changes.
std::string with_hash(std::string_view text) {
  const Json json = parse_json(text, "manifest.json");
  Manifest manifest;
  manifest.step = json_get<std::int64_t>(json, "step", "manifest.json");
  if (json.contains("validation_loss"))
    manifest.validation_loss = json_get<double>(json, "validation_loss", "manifest.json");
  for (const Json& file : json_get<std::vector<Json>>(json, "files", "manifest.json"))
    manifest.files.push_back({json_get<std::string>(file, "name", "manifest.json"),
                              json_get<std::uint64_t>(file, "size", "manifest.json"),
                              json_get<std::string>(file, "hash", "manifest.json")});
  return manifest.text();
}

void read_optimizer(std::string_view bytes, bool need_master) {
  fuzz::put(optimizer_file_name({0, 1}), bytes);
  const OptimizerSnapshot state = read_optimizer_range({.folder = fuzz::scratch().path(),
                                                        .parts = 1,
                                                        .layout_hash = "layout",
                                                        .total = kElements,
                                                        .range = kWanted,
                                                        .need_master = need_master});
  const auto count = static_cast<std::size_t>(kWanted.size());
  fuzz::demand(state.exp_avg.size() == count && state.exp_avg_sq.size() == count, "the range is whole");
}

void read_name(std::string_view name) {
  if (const auto step = parse_checkpoint_name(name))
    fuzz::demand(checkpoint_name(*step) == name, "a checkpoint has one name");
  if (const auto temporary = parse_temporary_name(name))
    fuzz::demand(temporary_name(*temporary) == name, "a temporary folder has one name");
  if (const auto replaced = parse_replaced_name(name))
    fuzz::demand(replaced_name(*replaced) == name, "a replaced folder has one name");
  if (const auto part = parse_optimizer_file_name(name))
    fuzz::demand(optimizer_file_name(*part) == name, "an optimizer file has one name");
  require_plain_name(name, "manifest.json");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const unsigned kind = input.choice();
  fuzz::may_refuse([&] {
    if (kind == 0) {
      read_manifest(input.rest());
    } else if (kind == 1) {
      read_manifest(with_hash(input.rest()));
    } else if (kind == 2) {
      static const CheckpointIdentity identity{FlatLayout({{"a", {2, 3}}, {"b", {4}}}), "base"};
      const Json trainer = parse_json(input.rest(), "trainer.json");
      fuzz::may_refuse([&] { saved_layout(trainer, "trainer.json"); });
      check_trainer(trainer, identity, "trainer.json");
    } else if (kind < 5) {
      read_optimizer(input.rest(), kind == 4);
    } else {
      read_name(input.rest());
    }
  });
  return 0;
}
