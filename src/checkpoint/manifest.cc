#include "checkpoint/manifest.h"

#include <cmath>
#include <fstream>
#include <set>
#include <system_error>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/numeric.h"
#include "checkpoint/checkpoint_paths.h"

namespace ranktune {
namespace {

constexpr std::uint64_t kLargestManifest = std::uint64_t{64} << 20;

OrderedJson without_hash(const Manifest& manifest) {
  OrderedJson json{{"format", Manifest::kFormat}, {"step", manifest.step}};
  if (manifest.validation_loss && std::isfinite(*manifest.validation_loss))
    json["validation_loss"] = *manifest.validation_loss;
  json["files"] = OrderedJson::array();
  for (const ManifestEntry& file : manifest.files)
    json["files"].push_back({{"name", file.name}, {"size", file.size}, {"hash", file.hash}});
  return json;
}

/// Hash of the content, whatever the white space of the file.
std::string content_hash(const Manifest& manifest) { return hash_hex(without_hash(manifest).dump()); }

/// Every version hashes its manifest alike, so damage and another version can be told apart.
[[noreturn]] void fail_format(std::int64_t format, std::string_view text, std::string_view where) {
  OrderedJson json = OrderedJson::parse(text);
  const auto hash = json.find("hash");
  require(hash != json.end(), "{}: format {} is unknown and has no hash", where, format);
  const Json claimed = *hash;
  json.erase("hash");
  require(claimed == hash_hex(json.dump()),
          "{}: format {} is unknown, and its own hash does not fit its content", where, format);
  throw OtherFormat(
      fmt::format("{}: was written by {} version of ranktune (format {}, this one reads format {}); go on "
                  "with that version, "
                  "or begin a new run with another run.dir",
                  where, format > Manifest::kFormat ? "a newer" : "an older", format, Manifest::kFormat));
}

ManifestEntry parse_entry(const Json& json, std::string_view where) {
  ManifestEntry entry{.name = json_get<std::string>(json, "name", where),
                      .size = json_get<std::uint64_t>(json, "size", where),
                      .hash = json_get<std::string>(json, "hash", where)};
  require_plain_name(entry.name, where);
  require(entry.name != kManifestFile, "{}: lists itself", where);
  return entry;
}

std::uint64_t size_of(const Path& path) {
  std::error_code error;
  const std::uint64_t size = std::filesystem::file_size(path, error);
  require(!error, "{} cannot be read: {}", path.string(), error.message());
  return size;
}

/// hash_file() without a memory map: a file that shrinks or fails while it is read is an error here, not a
/// signal.
std::string hash_by_reading(const Path& path, const std::function<void()>& progress = {}) {
  std::ifstream file(path, std::ios::binary);
  require(file.is_open(), "cannot open {}{}", path.string(), errno_text());
  Hasher hasher;
  std::vector<char> buffer(std::size_t{1} << 20);
  while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || file.gcount() > 0) {
    hasher.add(std::string_view(buffer.data(), static_cast<std::size_t>(file.gcount())));
    if (progress) progress();
  }
  require(file.eof(), "cannot read {}{}", path.string(), errno_text());
  return hasher.hex();
}

void check_size(const Path& folder, const ManifestEntry& file) {
  const std::uint64_t size = size_of(folder / file.name);
  require(size == file.size, "{} holds {} bytes, its manifest says {}", (folder / file.name).string(), size,
          file.size);
}

void check_hash(const Path& folder, const ManifestEntry& file, const std::function<void()>& progress = {}) {
  const std::string hash = hash_by_reading(folder / file.name, progress);
  require(hash == file.hash, "{} is damaged: its hash is {}, its manifest says {}",
          (folder / file.name).string(), hash, file.hash);
}

}  // namespace

std::string Manifest::text() const {
  OrderedJson json = without_hash(*this);
  json["hash"] = content_hash(*this);
  return json.dump(2) + "\n";
}

Manifest Manifest::parse(std::string_view text, std::string_view where) {
  const Json json = parse_json(text, where);
  const auto format = json_get<std::int64_t>(json, "format", where);
  if (format != kFormat) fail_format(format, text, where);
  Manifest manifest;
  manifest.step = json_get<std::int64_t>(json, "step", where);
  require(manifest.step >= 0, "{}: step {}", where, manifest.step);
  if (json.contains("validation_loss"))
    manifest.validation_loss = json_get<double>(json, "validation_loss", where);
  const Json files = json_get<Json>(json, "files", where);
  require(files.is_array(), "{}: \"files\" is not a list", where);
  std::set<std::string> names;
  for (const Json& file : files) {
    manifest.files.push_back(parse_entry(file, where));
    const std::string& name = manifest.files.back().name;
    require(names.insert(name).second, "{}: \"{}\" is listed twice", where, name);
  }
  require(json_get<std::string>(json, "hash", where) == content_hash(manifest),
          "{}: its own hash does not fit its content", where);
  return manifest;
}

Manifest Manifest::read(const Path& folder) {
  const Path path = folder / kManifestFile;
  Manifest manifest = parse(read_file(path, kLargestManifest), path.string());
  const auto step = parse_checkpoint_name(folder.filename().string());
  require(!step || manifest.step == *step, "{}: is the manifest of step {}", path.string(), manifest.step);
  return manifest;
}

std::uint64_t Manifest::bytes() const {
  std::uint64_t total = 0;
  for (const ManifestEntry& file : files) total = checked_add(total, file.size);
  return total;
}

int Manifest::optimizer_parts(std::string_view where) const {
  int parts = 0;
  int seen = 0;
  for (const ManifestEntry& file : files) {
    const auto part = parse_optimizer_file_name(file.name);
    if (!part) continue;
    require(parts == 0 || part->parts == parts, "{}: {} does not belong to the other optimizer files", where,
            file.name);
    parts = part->parts;
    ++seen;
  }
  require(parts > 0 && seen == parts, "{}: {} of {} optimizer files are listed", where, seen, parts);
  return parts;
}

ManifestEntry describe_file(const Path& folder, const std::string& name,
                            const std::function<void()>& progress) {
  const Path path = folder / name;
  return {.name = name, .size = size_of(path), .hash = hash_by_reading(path, progress)};
}

void verify_files(const Path& folder, const Manifest& manifest, const std::function<void()>& progress) {
  for (const ManifestEntry& file : manifest.files) check_size(folder, file);
  for (const ManifestEntry& file : manifest.files) check_hash(folder, file, progress);
}

std::vector<std::string> find_faults(const Path& folder, const Manifest& manifest) {
  std::vector<std::string> faults;
  std::vector<ManifestEntry> sound;
  const auto passes = [&](const auto& check) {
    try {
      check();
      return true;
    } catch (const Error& error) {
      faults.emplace_back(error.what());
      return false;
    }
  };
  for (const ManifestEntry& file : manifest.files)
    if (passes([&] { check_size(folder, file); })) sound.push_back(file);
  for (const ManifestEntry& file : sound) static_cast<void>(passes([&] { check_hash(folder, file); }));
  return faults;
}

}  // namespace ranktune
