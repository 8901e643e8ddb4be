#include "export/model_folder.h"

#include <algorithm>
#include <map>

#include "export/model_texts.h"
#include "storage/safetensors_writer.h"
#include "tensor/dtype.h"
#include "tensor/from_storage.h"

namespace ranktune {
namespace {

constexpr const char* kHead = "lm_head.weight";

std::vector<TensorSpec> specs_of(const std::vector<FinalWeight>& weights, std::optional<DType> dtype) {
  std::vector<TensorSpec> specs;
  for (const FinalWeight& weight : weights)
    specs.push_back({weight.name, dtype.value_or(weight.stored), weight.shape});
  return specs;
}

/// What config.json calls the model's type: that of most bytes.
DType main_dtype(const std::vector<TensorSpec>& specs) {
  std::map<DType, std::uint64_t> bytes;
  for (const TensorSpec& spec : specs) bytes[spec.dtype] += spec.bytes();
  return dtype_of_most(bytes);
}

void write_weight(const FinalWeight& weight, DType dtype, const ByteSink& sink) {
  for_each_piece(weight, 1, [&](const torch::Tensor& piece) {
    const torch::Tensor rounded = piece.to(scalar_type_of(dtype)).contiguous();
    require_finite(weight, rounded);
    sink(bytes_of(rounded));
  });
}

}  // namespace

void write_model_folder(const ModelFolderOptions& options, const std::vector<FinalWeight>& weights) {
  NewFolder folder(options.folder);
  const std::vector<TensorSpec> specs = specs_of(weights, options.dtype);
  const bool own_head =
      std::any_of(specs.begin(), specs.end(), [](const TensorSpec& spec) { return spec.name == kHead; });
  const std::vector<ModelText> texts = model_texts({.base = options.base,
                                                    .dtype = main_dtype(specs),
                                                    .tied_head = !own_head,
                                                    .chat_template = options.chat_template});
  std::uint64_t bytes = 0;
  for (const TensorSpec& spec : specs) bytes += spec.bytes();
  for (const ModelText& text : texts) bytes += text.content.size();
  folder.require_space(bytes);
  for (const ModelText& text : texts) write_file(folder.filling() / text.name, text.content);
  ShardedWriteOptions write;
  write.folder = folder.filling();
  write.max_shard_bytes = options.max_shard_bytes;
  write_sharded(write, specs, [&](std::size_t index, const ByteSink& sink) {
    write_weight(weights[index], specs[index].dtype, sink);
    if (options.progress) options.progress();
  });
  folder.commit();
}

}  // namespace ranktune
