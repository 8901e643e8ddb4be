#include "storage/import_gguf.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/numeric.h"
#include "storage/gguf.h"
#include "storage/gguf_model.h"
#include "storage/gguf_places.h"
#include "storage/gguf_tokenizer.h"
#include "storage/new_folder.h"
#include "storage/safetensors_writer.h"

namespace ranktune {
namespace {

/// Elements that are converted at a time.
constexpr std::size_t kChunkElements = std::size_t{1} << 18;

/// Runs through a tensor in chunks of whole rows: fp32 values, rounded once, handed on.
class RowConverter {
 public:
  RowConverter(const GgufSource& source, DType dtype, const ByteSink& sink)
      : source_(source), tensor_(*source.tensor), dtype_(dtype), sink_(sink) {
    // A rotary bias is a list of rows of one element each.
    row_elements_ = static_cast<std::size_t>(is_rotary_bias() ? 1 : tensor_.row_elements());
    rows_ = static_cast<std::size_t>(is_rotary_bias() ? tensor_.row_elements() : tensor_.rows());
    require(row_elements_ % ggml_block_elements(tensor_.type) == 0,
            "tensor \"{}\": a bias quantised as {} is not supported", tensor_.name,
            ggml_type_name(tensor_.type));
    row_bytes_ = row_elements_ / ggml_block_elements(tensor_.type) * ggml_block_bytes(tensor_.type);
  }

  void run() {
    const std::size_t chunk_rows = std::max<std::size_t>(1, kChunkElements / row_elements_);
    for (std::size_t begin = 0; begin < rows_; begin += chunk_rows) {
      const std::size_t count = std::min(chunk_rows, rows_ - begin);
      values_.resize(count * row_elements_);
      if (source_.rotary_heads > 0)
        for (std::size_t i = 0; i < count; ++i)
          read_rows(stored_row(begin + i), std::span(values_).subspan(i * row_elements_, row_elements_));
      else
        read_rows(begin, values_);
      rounded_.resize(values_.size() * dtype_size(dtype_));
      round_from_f32(values_, dtype_, rounded_);
      sink_(rounded_);
    }
  }

 private:
  bool is_rotary_bias() const { return source_.rotary_heads > 0 && tensor_.shape.size() == 1; }

  /// Where row `row` of Hugging Face's order lies in the file.
  std::size_t stored_row(std::size_t row) const {
    const std::size_t head_rows = rows_ / static_cast<std::size_t>(source_.rotary_heads),
                      half = head_rows / 2;
    const std::size_t inside = row % head_rows;
    return row - inside + inside % half * 2 + inside / half;
  }

  void read_rows(std::size_t first, std::span<float> out) const {
    dequantize(tensor_.type,
               tensor_.data.subspan(first * row_bytes_, out.size() / row_elements_ * row_bytes_), out);
  }

  const GgufSource& source_;
  const GgufTensor& tensor_;
  DType dtype_;
  const ByteSink& sink_;
  std::size_t row_elements_ = 0, rows_ = 0, row_bytes_ = 0;
  std::vector<float> values_;
  std::vector<std::byte> rounded_;
};

/// The configuration files of the folder beside the weights and tokenizer.json.
void write_configs(const Path& folder, const GgufModel& model, const GgufTokenizer& tokenizer, DType dtype) {
  Json config = gguf_config(model);
  config["torch_dtype"] = torch_dtype_name(dtype);
  Json generation{{"_from_model_config", true}};
  const auto set = [&](const char* key, std::optional<std::int64_t> id) {
    if (id) config[key] = generation[key] = *id;
  };
  set("bos_token_id", tokenizer.bos);
  set("eos_token_id", tokenizer.eos);
  set("pad_token_id", tokenizer.pad);
  if (tokenizer.eot && tokenizer.eot != tokenizer.eos)
    generation["eos_token_id"] = Json::array({*tokenizer.eos, *tokenizer.eot});
  Json tokenizer_config = tokenizer.config;
  tokenizer_config["model_max_length"] = model.max_positions;

  write_file(folder / "config.json", config.dump(2) + "\n");
  write_file(folder / "generation_config.json", generation.dump(2) + "\n");
  write_file(folder / "tokenizer_config.json", tokenizer_config.dump(2) + "\n");
  write_file(folder / "tokenizer.json", tokenizer.tokenizer_json);
}

}  // namespace

ImportSummary import_gguf(const ImportOptions& options) {
  torch_dtype_name(options.dtype);  // refuses what weights cannot be stored as
  const GgufFile file = GgufFile::open(options.gguf);
  const GgufModel model = read_gguf_model(file);
  const std::vector<GgufSource> sources = map_gguf_tensors(file, model);
  const GgufTokenizer tokenizer = read_gguf_tokenizer(file);
  require(tokenizer.ids <= static_cast<std::uint64_t>(model.vocab_size),
          "{}: {} tokens, but the embedding has only {} rows", file.where(), tokenizer.ids, model.vocab_size);
  if (tokenizer.chat_template.empty())
    log_warning("{} has no chat template; one must be named when data are prepared", file.where());

  ImportSummary summary{.architecture = model.architecture,
                        .pre_tokenizer = tokenizer.pre_tokenizer,
                        .tensors = sources.size(),
                        .parameters = 0,
                        .weight_bytes = 0,
                        .tokens = tokenizer.tokens};
  std::vector<TensorSpec> specs;
  for (const GgufSource& source : sources) {
    specs.push_back({source.name, options.dtype, source.tensor->shape});
    summary.weight_bytes += specs.back().bytes();
  }
  summary.parameters = summary.weight_bytes / dtype_size(options.dtype);

  NewFolder folder(
      {.path = options.folder, .replaces = options.overwrite ? Replaces::kModelFolder : Replaces::kNothing});
  folder.require_space(summary.weight_bytes + 2 * tokenizer.tokenizer_json.size());
  ShardedWriteOptions write;
  write.folder = folder.filling();
  write_sharded(write, specs, [&](std::size_t index, const ByteSink& sink) {
    RowConverter(sources[index], options.dtype, sink).run();
  });
  write_configs(folder.filling(), model, tokenizer, options.dtype);
  folder.commit();
  return summary;
}

}  // namespace ranktune
