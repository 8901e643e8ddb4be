#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "storage/safetensors.h"

namespace ranktune {

/// A tensor to be written, without its data.
struct TensorSpec {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;

  std::uint64_t bytes() const;
};

using TensorMetadata = std::map<std::string, std::string>;

/// Writes one safetensors file that appears under its name only when whole (AtomicFile). The header comes
/// first, so all specs are given at the start; the same specs, metadata and data give the same bytes. Tensors
/// lie in the order given.
class SafetensorsWriter {
 public:
  /// Without metadata the file says {"format":"pt"}, which transformers asks for.
  SafetensorsWriter(const Path& path, std::vector<TensorSpec> tensors,
                    const TensorMetadata& metadata = {{"format", "pt"}});

  /// The next bytes of tensor `name`, in one call or many; tensors follow each other in the order of the
  /// specs.
  void append(std::string_view name, std::span<const std::byte> bytes);
  /// Syncs and renames; Error where bytes of a tensor are missing.
  void commit();

 private:
  void skip_finished();

  Path path_;
  std::vector<TensorSpec> tensors_;
  AtomicFile file_;
  std::size_t current_ = 0;    ///< tensor that the next bytes belong to
  std::uint64_t written_ = 0;  ///< bytes of it so far
};

/// A whole file from tensors in memory.
void write_safetensors(const Path& path, std::span<const TensorInfo> tensors,
                       const TensorMetadata& metadata = {{"format", "pt"}});

/// Hands the bytes of tensor number `index` to `sink`, in order, in one call or many.
using ByteSink = std::function<void(std::span<const std::byte>)>;
using TensorProducer = std::function<void(std::size_t index, const ByteSink& sink)>;

struct ShardedWriteOptions {
  Path folder;  ///< exists and holds no model*.safetensors yet
  std::uint64_t max_shard_bytes = std::uint64_t{5}
                                  << 30;  ///< tensor bytes per file; a larger tensor has its own file
  TensorMetadata metadata = {{"format", "pt"}};
};

/// A model's weights as Hugging Face lays them out: model.safetensors, or model-00001-of-0000N.safetensors
/// with model.safetensors.index.json (written last). Tensors keep their order. Returns the paths written.
std::vector<Path> write_sharded(const ShardedWriteOptions& options, const std::vector<TensorSpec>& tensors,
                                const TensorProducer& produce);

}  // namespace ranktune
