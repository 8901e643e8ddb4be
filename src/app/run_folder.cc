#include "app/run_folder.h"

#include <unistd.h>

#include <utility>

#include "base/error.h"
#include "config/describe.h"

namespace ranktune {

void RunFolder::prepare() {
  std::error_code ignored;
  for (Path folder = std::filesystem::absolute(checkpoints()).lexically_normal();
       !std::filesystem::exists(folder, ignored) && folder != folder.root_path();
       folder = folder.parent_path())
    made_.push_back(folder);
  make_folders(checkpoints());
  for (const Path& folder : {root_, checkpoints()})
    if (::access(folder.c_str(), W_OK | X_OK) != 0)
      fail("run.dir: folder {} cannot be written to{}; choose another run.dir", folder.string(),
           errno_text());
}

void RunFolder::remove_if_unused() const noexcept {
  std::error_code ignored;  // of a folder that holds something by now
  for (const Path& folder : made_) std::filesystem::remove(folder, ignored);
}

void RunFolder::start(const RunConfig& values) const {
  std::error_code error;
  std::filesystem::remove(done(), error);
  require(!error, "cannot remove {}: {}", done().string(), error.message());
  write_file(config(), to_json(values).dump(2) + "\n");
}

void RunFolder::write_done(std::int64_t steps) const {
  write_file(done(), OrderedJson{{"steps", steps}}.dump() + "\n");
}

std::string parameter_file(bool adapter) {
  return adapter ? "adapter_model.safetensors" : "model.safetensors";
}

AdapterFile parameter_copy(std::string name, const ParameterList& parameters,
                           const std::vector<torch::Tensor>& values) {
  std::vector<torch::Tensor> copies;
  std::uint64_t bytes = 0;
  for (const torch::Tensor& value : values) {
    copies.push_back(
        value.detach().to(torch::kCPU, value.scalar_type(), /*non_blocking=*/false, /*copy=*/true));
    bytes += copies.back().nbytes();
  }
  return {std::move(name), bytes,
          [parameters, copies](const Path& path) { write_parameters(path, parameters, copies); }};
}

void write_trained_model(const Path& folder, const Path& base, bool tied_head, const AdapterFile& weights) {
  std::vector<AdapterFile> files{weights};
  for (const char* name : {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
                           "chat_template.jinja", "qwen.tiktoken"}) {
    if (!std::filesystem::exists(base / name)) continue;
    std::string text = read_file(base / name);
    OrderedJson config = std::string_view(name) == "config.json" ? OrderedJson::parse(text) : OrderedJson();
    if (config.is_object() && config.value("tie_word_embeddings", tied_head) != tied_head) {
      config["tie_word_embeddings"] = tied_head;
      text = config.dump(2) + "\n";
    }
    files.push_back({name, text.size(), [text](const Path& path) { write_file(path, text); }});
  }
  write_adapter(folder, files);
}

}  // namespace ranktune
