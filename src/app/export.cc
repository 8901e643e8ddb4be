#include <CLI/CLI.hpp>
#include <map>
#include <memory>

#include "app/commands.h"
#include "base/byte_size.h"
#include "base/error.h"
#include "base/log.h"
#include "export/final_weights.h"
#include "export/gguf_file.h"
#include "export/model_folder.h"
#include "export/model_texts.h"
#include "model/adapter.h"
#include "model/load_model.h"
#include "tensor/dtype.h"

namespace ranktune {
namespace {

struct ExportArguments {
  std::string adapter, output, model, dtype = "auto", max_shard_size = "5GB", gguf, type = "BF16";
  bool merge = false;
};

/// Copies what PEFT reads.
void export_adapter(const ExportArguments& arguments) {
  read_adapter_config(arguments.adapter);
  const Path weights = Path(arguments.adapter) / "adapter_model.safetensors";
  require(std::filesystem::exists(weights), "{} is missing", weights.string());
  std::vector<AdapterFile> files;
  for (const char* name : {"adapter_config.json", "adapter_model.safetensors", "ranktune.json"}) {
    const Path from = Path(arguments.adapter) / name;
    if (!std::filesystem::exists(from)) continue;
    const std::string text = read_file(from, std::uint64_t{1} << 40);
    files.push_back({name, text.size(), [text](const Path& path) { write_file(path, text); }});
  }
  write_adapter({.path = arguments.output}, files);
}

std::optional<DType> stored_dtype(const std::string& name) {
  if (name == "bf16") return DType::kBF16;
  if (name == "f16") return DType::kF16;
  if (name == "f32") return DType::kF32;
  return std::nullopt;
}

/// A model with its adapter, if one is given. The weights stay in the files' mappings: no copy of the model
/// is made in memory.
struct AdaptedModel {
  explicit AdaptedModel(const ExportArguments& arguments) : files(open_model_files(arguments.model)) {
    const bool adapted = !arguments.adapter.empty();
    if (adapted)
      require_same_base(arguments.adapter, arguments.model,
                        [&] { return weights_fingerprint(*files.weights); });
    decoder = load_model({.folder = arguments.model,
                          .dtype = scalar_type_of(common_dtype(*files.weights)),
                          .device = torch::kCPU,
                          .files = files});
    AdapterOrigin origin;
    if (adapted) {
      origin = read_adapter_origin(arguments.adapter);
      load_adapter(*decoder, arguments.adapter);
    }
    chat_template = trained_template(arguments.model, origin.template_name, origin.template_fingerprint);
  }
  std::vector<FinalWeight> weights() { return merged_weights(*decoder, *files.weights); }

  ModelFiles files;
  std::unique_ptr<Decoder> decoder;
  std::optional<ChatTemplate> chat_template;
};

void export_merged(const ExportArguments& arguments) {
  AdaptedModel model(arguments);
  write_model_folder({.folder = {.path = arguments.output},
                      .base = arguments.model,
                      .chat_template = model.chat_template,
                      .dtype = stored_dtype(arguments.dtype),
                      .max_shard_bytes = parse_byte_size(arguments.max_shard_size)},
                     model.weights());
}

void export_gguf(const ExportArguments& arguments) {
  AdaptedModel model(arguments);
  const std::map<std::string, GgmlType> types{
      {"F32", GgmlType::kF32}, {"F16", GgmlType::kF16}, {"BF16", GgmlType::kBF16}, {"Q8_0", GgmlType::kQ8_0}};
  write_gguf_file({.file = arguments.gguf,
                   .base = arguments.model,
                   .type = types.at(arguments.type),
                   .chat_template = model.chat_template},
                  model.decoder->architecture(), model.weights());
}

int run_export(const ExportArguments& arguments) {
  const bool gguf = !arguments.gguf.empty();
  const std::string& output = gguf ? arguments.gguf : arguments.output;
  require(!output.empty(), "say what to write: --output FOLDER or --gguf FILE");
  require(gguf || !arguments.adapter.empty(),
          "give --adapter FOLDER (only --gguf writes a model without one)");
  require(!(gguf || arguments.merge) || !arguments.model.empty(),
          "{} needs the base model: give --model FOLDER", gguf ? "--gguf" : "--merge");
  require(!std::filesystem::exists(output), "{} exists already; choose another {}", output,
          gguf ? "--gguf" : "--output");
  if (gguf)
    export_gguf(arguments);
  else if (arguments.merge)
    export_merged(arguments);
  else
    export_adapter(arguments);
  log_info("{} is written", output);
  return kExitDone;
}

std::string size_problem(const std::string& text) {
  try {
    parse_byte_size(text);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace

Command add_export(CLI::App& program) {
  auto arguments = std::make_shared<ExportArguments>();
  CLI::App* app = program.add_subcommand("export", "Write an adapter for PEFT, or a whole model with it");
  app->add_option("--adapter", arguments->adapter, "Adapter folder (run.dir/adapter or a checkpoint)");
  CLI::Option* output = app->add_option("--output", arguments->output, "Folder to write; it must not exist");
  CLI::Option* merge =
      app->add_flag("--merge", arguments->merge, "Write a whole model with the adapter added to its weights")
          ->needs(output);
  CLI::Option* gguf =
      app->add_option("--gguf", arguments->gguf,
                      "File to write: a whole model for llama.cpp, with the adapter if one is "
                      "given; it must not exist")
          ->excludes(output);
  app->add_option("--type", arguments->type, "How a GGUF's matrices are stored")
      ->check(CLI::IsMember({"F32", "F16", "BF16", "Q8_0"}))
      ->capture_default_str()
      ->needs(gguf);
  app->add_option("--model", arguments->model, "Base model folder, for --merge and --gguf");
  app->add_option("--dtype", arguments->dtype, "How a merged model's weights are stored; auto: as the base's")
      ->check(CLI::IsMember({"auto", "bf16", "f16", "f32"}))
      ->capture_default_str()
      ->needs(merge);
  app->add_option("--max-shard-size", arguments->max_shard_size, "Largest weight file of a merged model")
      ->check(CLI::Validator(size_problem, "SIZE"))
      ->capture_default_str()
      ->needs(merge);
  app->footer(
      "Examples:\n  ranktune export --adapter runs/x/adapter --output my-adapter\n"
      "  ranktune export --adapter runs/x/adapter --merge --model models/qwen --output my-model\n"
      "  ranktune export --adapter runs/x/adapter --gguf my-model.gguf --type Q8_0 --model models/qwen");
  return {app, [arguments] { return run_export(*arguments); }};
}

}  // namespace ranktune
