#include "storage/safetensors_writer.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "base/numeric.h"

namespace ranktune {
namespace {

/// The eight length bytes and the JSON, padded with spaces so that the data begins at a multiple of eight.
std::string make_header(const std::vector<TensorSpec>& tensors, const TensorMetadata& metadata,
                        const Path& path) {
  OrderedJson header = OrderedJson::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::set<std::string_view> names;
  std::uint64_t offset = 0;
  for (const TensorSpec& tensor : tensors) {
    require(names.insert(tensor.name).second && tensor.name != "__metadata__",
            "{}: tensor \"{}\" cannot be written: the name is taken", path.string(), tensor.name);
    const std::uint64_t end = checked_add(offset, tensor.bytes(), "file bytes");
    header.push_back({tensor.name, OrderedJson{{"dtype", dtype_name(tensor.dtype)},
                                               {"shape", tensor.shape},
                                               {"data_offsets", {offset, end}}}});
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + text;
}

/// Consecutive tensors that share a file: [begin, end) of the specs.
struct Shard {
  std::size_t begin = 0, end = 0;
};

std::vector<Shard> divide(const std::vector<TensorSpec>& tensors, std::uint64_t max_bytes) {
  std::vector<Shard> shards;
  std::uint64_t filled = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::uint64_t bytes = tensors[i].bytes();
    if (shards.empty() || (filled > 0 && filled + bytes > max_bytes)) {
      shards.push_back(Shard{i, i});
      filled = 0;
    }
    shards.back().end = i + 1;
    filled = checked_add(filled, bytes, "shard bytes");
  }
  if (shards.empty()) shards.emplace_back();
  return shards;
}

void require_no_weights(const Path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    require(!(name.starts_with("model") && name.find(".safetensors") != name.npos),
            "{} already holds {}; write the weights into a new folder", folder.string(), name);
  }
}

}  // namespace

std::uint64_t TensorSpec::bytes() const {
  std::uint64_t total = dtype_size(dtype);
  for (const std::int64_t size : shape)
    total = checked_mul(total, narrow<std::uint64_t>(size, "dimension"), "tensor bytes");
  return total;
}

SafetensorsWriter::SafetensorsWriter(const Path& path, std::vector<TensorSpec> tensors,
                                     const TensorMetadata& metadata)
    : path_(path), tensors_(std::move(tensors)), file_(path) {
  file_.write(make_header(tensors_, metadata, path_));
  skip_finished();
}

void SafetensorsWriter::skip_finished() {
  while (current_ < tensors_.size() && written_ == tensors_[current_].bytes()) {
    ++current_;
    written_ = 0;
  }
}

void SafetensorsWriter::append(std::string_view name, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;  // an empty tensor has been passed over already
  require(current_ < tensors_.size() && tensors_[current_].name == name,
          "{}: bytes of tensor \"{}\" came where \"{}\" is due", path_.string(), name,
          current_ < tensors_.size() ? tensors_[current_].name : "the end");
  const TensorSpec& tensor = tensors_[current_];
  require(bytes.size() <= tensor.bytes() - written_,
          "{}: tensor \"{}\" of dtype {} and shape {} takes {} bytes, got {}", path_.string(), name,
          dtype_name(tensor.dtype), shape_text(tensor.shape), tensor.bytes(), written_ + bytes.size());
  file_.write(bytes);
  written_ += bytes.size();
  skip_finished();
}

void SafetensorsWriter::commit() {
  require(current_ == tensors_.size(), "{}: tensor \"{}\" got {} bytes only", path_.string(),
          current_ < tensors_.size() ? tensors_[current_].name : "", written_);
  file_.commit();
}

void write_safetensors(const Path& path, std::span<const TensorInfo> tensors,
                       const TensorMetadata& metadata) {
  std::vector<TensorSpec> specs;
  for (const TensorInfo& tensor : tensors) specs.push_back({tensor.name, tensor.dtype, tensor.shape});
  SafetensorsWriter writer(path, std::move(specs), metadata);
  for (const TensorInfo& tensor : tensors) writer.append(tensor.name, tensor.data);
  writer.commit();
}

std::vector<Path> write_sharded(const ShardedWriteOptions& options, const std::vector<TensorSpec>& tensors,
                                const TensorProducer& produce) {
  require_no_weights(options.folder);
  const std::vector<Shard> shards = divide(tensors, options.max_shard_bytes);
  OrderedJson weight_map = OrderedJson::object();
  std::vector<Path> paths;
  std::uint64_t total_bytes = 0;
  for (std::size_t number = 0; number < shards.size(); ++number) {
    const Shard shard = shards[number];
    const std::string name = shards.size() == 1
                                 ? "model.safetensors"
                                 : fmt::format("model-{:05}-of-{:05}.safetensors", number + 1, shards.size());
    const auto first = tensors.begin();
    SafetensorsWriter writer(
        options.folder / name,
        {first + static_cast<std::ptrdiff_t>(shard.begin), first + static_cast<std::ptrdiff_t>(shard.end)},
        options.metadata);
    for (std::size_t i = shard.begin; i < shard.end; ++i) {
      produce(i, [&](std::span<const std::byte> bytes) { writer.append(tensors[i].name, bytes); });
      weight_map[tensors[i].name] = name;
      total_bytes += tensors[i].bytes();
    }
    writer.commit();
    paths.push_back(options.folder / name);
  }
  if (shards.size() > 1) {
    const OrderedJson index{{"metadata", {{"total_size", total_bytes}}}, {"weight_map", weight_map}};
    paths.push_back(options.folder / "model.safetensors.index.json");
    write_file(paths.back(), index.dump(2) + "\n");
  }
  return paths;
}

}  // namespace ranktune
