#include <CLI/CLI.hpp>
#include <memory>

#include "app/commands.h"
#include "app/run_folder.h"
#include "base/error.h"
#include "base/log.h"
#include "model/adapter.h"
#include "model/load_model.h"
#include "model/lora.h"
#include "tensor/dtype.h"

namespace ranktune {
namespace {

struct ExportArguments {
  std::string adapter, output, model;
  bool merge = false;
};

/// Copies what PEFT reads, checked by loading it where the model is at hand.
void export_adapter(const ExportArguments& arguments) {
  read_adapter_config(arguments.adapter);
  std::vector<AdapterFile> files;
  for (const char* name : {"adapter_config.json", "adapter_model.safetensors", "ranktune.json"}) {
    const Path from = Path(arguments.adapter) / name;
    if (!std::filesystem::exists(from)) continue;
    const std::string text = read_file(from, std::uint64_t{1} << 40);
    files.push_back({name, text.size(), [text](const Path& path) { write_file(path, text); }});
  }
  write_adapter(arguments.output, files);
}

/// The adapter added to the weights in fp32, each rounded once to the type the model is stored in.
void export_merged(const ExportArguments& arguments) {
  require(!arguments.model.empty(), "--merge needs the base model: give --model FOLDER");
  require_same_base(arguments.adapter, arguments.model,
                    [&] { return weights_fingerprint(Path(arguments.model)); });
  const WeightFiles stored = WeightFiles::open(arguments.model);
  const auto decoder =
      load_model({.folder = arguments.model, .dtype = torch::kFloat32, .device = torch::kCPU});
  load_adapter(*decoder, arguments.adapter);
  merge_lora(*decoder);
  std::vector<torch::Tensor> values;
  const ParameterList parameters = decoder->parameters();
  for (const ParameterPtr& parameter : parameters) {
    // The base has no head of its own where it was tied.
    const TensorInfo* info = stored.find(parameter->name);
    if (info == nullptr) info = &stored.get(parameters.front()->name);
    values.push_back(parameter->value.to(scalar_type_of(info->dtype)));
  }
  write_trained_model(arguments.output, arguments.model, decoder->architecture().tied_head,
                      parameter_copy(parameter_file(false), parameters, values));
}

}  // namespace

Command add_export(CLI::App& program) {
  auto arguments = std::make_shared<ExportArguments>();
  CLI::App* app =
      program.add_subcommand("export", "Write an adapter for PEFT, or merged into the model's weights");
  app->add_option("--adapter", arguments->adapter, "Adapter folder (run.dir/adapter or a checkpoint)")
      ->required();
  app->add_option("--output", arguments->output, "Folder to write; it must not exist")->required();
  app->add_flag("--merge", arguments->merge, "Write a whole model with the adapter added to its weights");
  app->add_option("--model", arguments->model, "Base model folder, for --merge");
  app->footer(
      "Examples:\n  ranktune export --adapter runs/x/adapter --output my-adapter\n"
      "  ranktune export --adapter runs/x/adapter --merge --model models/qwen --output my-model");
  return {app, [arguments] {
            require(!std::filesystem::exists(arguments->output), "{} exists already; choose another --output",
                    arguments->output);
            if (arguments->merge)
              export_merged(*arguments);
            else
              export_adapter(*arguments);
            log_info("{} is written", arguments->output);
            return kExitDone;
          }};
}

}  // namespace ranktune
