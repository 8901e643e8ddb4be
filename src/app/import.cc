#include <CLI/CLI.hpp>
#include <memory>

#include "app/commands.h"
#include "base/error.h"
#include "base/log.h"
#include "storage/import_gguf.h"

namespace ranktune {

Command add_import(CLI::App& program) {
  struct Arguments {
    std::string gguf, folder, dtype = "bf16";
    bool overwrite = false;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* app = program.add_subcommand("import", "Turn a GGUF model into a Hugging Face model folder");
  app->add_option("GGUF", arguments->gguf, "The model file (llama, qwen, qwen2 or qwen3)")->required();
  app->add_option("FOLDER", arguments->folder, "The folder to make")->required();
  app->add_option("--dtype", arguments->dtype, "How weights are stored")
      ->check(CLI::IsMember({"bf16", "f16", "f32"}))
      ->capture_default_str();
  app->add_flag("--overwrite", arguments->overwrite, "Replace a model folder of that name");
  app->footer("Example: ranktune import SmolLM2-135M-Instruct.Q4_1.gguf models/smollm2-135m-instruct");
  return {app, [arguments] {
            const DType dtype = arguments->dtype == "f32"   ? DType::kF32
                                : arguments->dtype == "f16" ? DType::kF16
                                                            : DType::kBF16;
            const ImportSummary summary =
                import_gguf({arguments->gguf, arguments->folder, dtype, arguments->overwrite});
            log_info("{}: {}, {} tensors, {:.1f} M parameters, {:.0f} MB, {} tokens", arguments->folder,
                     summary.architecture, summary.tensors, static_cast<double>(summary.parameters) / 1e6,
                     static_cast<double>(summary.weight_bytes) / 1e6, summary.tokens);
            return kExitDone;
          }};
}

}  // namespace ranktune
