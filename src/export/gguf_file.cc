#include "export/gguf_file.h"

#include <ATen/Parallel.h>

#include <map>

#include "base/error.h"
#include "base/log.h"
#include "export/gguf_vocabulary.h"
#include "storage/gguf_format.h"
#include "storage/gguf_model.h"
#include "storage/gguf_places.h"
#include "storage/gguf_writer.h"
#include "storage/new_folder.h"
#include "storage/quantize.h"
#include "tensor/from_storage.h"

namespace ranktune {
namespace {

constexpr const char* kDivisors = "rope_freqs.weight";

Json scaling_json(const RopeScaling& scaling) {
  switch (scaling.kind) {
    case RopeScaling::Kind::kNone:
    case RopeScaling::Kind::kQwen1:
      return nullptr;
    case RopeScaling::Kind::kLinear:
      return {{"rope_type", "linear"}, {"factor", scaling.factor}};
    case RopeScaling::Kind::kLlama3:
      return {{"rope_type", "llama3"},
              {"factor", scaling.factor},
              {"low_freq_factor", scaling.low_freq_factor},
              {"high_freq_factor", scaling.high_freq_factor},
              {"original_max_position_embeddings", scaling.original_positions}};
    case RopeScaling::Kind::kYarn:
    case RopeScaling::Kind::kDynamic:
      break;
  }
  fail("this kind of rope scaling cannot be written to GGUF; linear and llama3 can");
}

GgufModel gguf_model_of(const Architecture& arch) {
  return {.architecture = {},
          .model_type = arch.model_type,
          .hidden_size = arch.hidden_size,
          .layers = arch.layers,
          .intermediate_size = arch.intermediate_size,
          .heads = arch.heads,
          .kv_heads = arch.kv_heads,
          .head_dim = arch.head_dim,
          .vocab_size = arch.vocab_size,
          .max_positions = arch.max_positions,
          .norm_eps = arch.norm_eps,
          .rope_theta = arch.rope_theta,
          .rope_scaling = scaling_json(arch.rope_scaling),
          .tied_head = arch.tied_head,
          .attention_bias = arch.attention_bias,
          .mlp_bias = arch.mlp_bias,
          .qk_norm = arch.qk_norm};
}

/// general.file_type: llama.cpp's number for "most matrices are of this type".
std::uint32_t file_type(GgmlType type) {
  if (type == GgmlType::kF32) return 0;
  if (type == GgmlType::kF16) return 1;
  if (type == GgmlType::kQ8_0) return 7;
  require(type == GgmlType::kBF16, "models are not written as {}; F32, F16, BF16 and Q8_0 are possible",
          ggml_type_name(type));
  return 32;
}

GgmlType type_of(const GgufPlace& place, GgmlType wanted) {
  if (place.shape.size() == 1) return GgmlType::kF32;
  const bool whole = static_cast<std::size_t>(place.shape.back()) % ggml_block_elements(wanted) == 0;
  return whole ? wanted : GgmlType::kF16;
}

/// Where Hugging Face has the row that llama.cpp has at `row`: the pairs (i, i + D/2) of a head lie side by
/// side.
torch::Tensor side_by_side(const torch::Tensor& rows, std::int64_t head_rows) {
  std::vector<std::int64_t> shape = rows.sizes().vec(), halves{-1, 2, head_rows / 2};
  halves.insert(halves.end(), shape.begin() + 1, shape.end());
  return rows.reshape(halves).transpose(1, 2).reshape(shape);
}

torch::Tensor quantised(const torch::Tensor& piece) {
  const std::int64_t blocks = piece.numel() / 32;
  torch::Tensor out = torch::empty({blocks, 34}, torch::kUInt8);
  const float* values = piece.const_data_ptr<float>();
  auto* bytes = static_cast<std::byte*>(out.data_ptr());
  at::parallel_for(0, blocks, 1 << 12, [&](std::int64_t first, std::int64_t last) {
    const auto count = static_cast<std::size_t>(last - first);
    quantize_q8_0({values + first * 32, count * 32}, {bytes + first * 34, count * 34});
  });
  return out;
}

/// A piece of fp32 rows as the file has them.
torch::Tensor stored(const FinalWeight& weight, const torch::Tensor& piece, GgmlType type) {
  if (type == GgmlType::kQ8_0) {
    try {
      return quantised(piece);
    } catch (const Error& error) {
      fail("weight {}: {}", weight.name, error.what());
    }
  }
  torch::Tensor rounded = piece.to(type == GgmlType::kF16    ? torch::kFloat16
                                   : type == GgmlType::kBF16 ? torch::kBFloat16
                                                             : torch::kFloat32);
  require_finite(weight, rounded);
  return rounded;
}

void write_tensor(const FinalWeight& weight, const GgufPlace& place, GgmlType type, GgufWriter& writer) {
  const std::int64_t head_rows = place.rotary_heads > 0 ? weight.row_count() / place.rotary_heads : 1;
  for_each_piece(weight, head_rows, [&](const torch::Tensor& rows) {
    torch::Tensor piece = rows.to(torch::kFloat32);
    if (place.rotary_heads > 0) piece = side_by_side(piece, head_rows);
    writer.append(place.gguf, bytes_of(stored(weight, piece.contiguous(), type)));
  });
}

}  // namespace

void write_gguf_file(const GgufFileOptions& options, const Architecture& arch,
                     const std::vector<FinalWeight>& weights) {
  const GgufModel model = gguf_model_of(arch);
  GgufMetadata metadata;
  metadata.add_text("general.architecture", model.model_type);
  metadata.add_text("general.type", "model");
  metadata.add_text("general.name", options.file.stem().string());
  metadata.add_u32("general.file_type", file_type(options.type));
  metadata.add_u32("general.quantization_version", 2);
  add_model_settings(model, metadata);
  add_vocabulary(options.base, model.vocab_size, options.chat_template, metadata);

  std::map<std::string, const FinalWeight*> by_name;
  for (const FinalWeight& weight : weights) by_name[weight.name] = &weight;
  const std::vector<GgufPlace> places = gguf_places(model);
  require(places.size() == weights.size(), "the model has {} weights, but GGUF has places for {}",
          weights.size(), places.size());
  const std::vector<float> divisors = rope_divisors(model);
  std::vector<GgufSpec> specs;
  if (!divisors.empty())
    specs.push_back({kDivisors, GgmlType::kF32, {static_cast<std::int64_t>(divisors.size())}});
  for (const GgufPlace& place : places)
    specs.push_back({place.gguf, type_of(place, options.type), place.shape});

  if (model.first_qwen())
    log_info(
        "programs that read GGUF leave out the first Qwen's dynamic NTK scaling and log-n attention, which "
        "act beyond the {} tokens of its training: the file gives these as its context length",
        model.max_positions);
  const Path absolute = std::filesystem::absolute(options.file);
  make_folders(absolute.parent_path());
  require_space(absolute.parent_path(), gguf_file_bytes(metadata, specs));
  GgufWriter writer(absolute, metadata, specs);
  if (!divisors.empty()) writer.append(kDivisors, std::as_bytes(std::span(divisors)));
  for (const GgufPlace& place : places) {
    const FinalWeight& weight = *by_name.at(place.name);
    require(weight.shape == place.shape, "weight {} has shape {}, but GGUF needs {}", weight.name,
            shape_text(weight.shape), shape_text(place.shape));
    write_tensor(weight, place, type_of(place, options.type), writer);
  }
  writer.commit();
}

}  // namespace ranktune
