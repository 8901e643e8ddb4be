#include "app/run_folder.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/log.h"
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

void RunFolder::write_as(std::int64_t attempt, std::function<void()> allowed) {
  mark_ = fmt::format("-{}", attempt);
  allowed_ = std::move(allowed);
}

void RunFolder::remove_leftovers() const {
  constexpr std::size_t kRandomPart = 7;  // AtomicFile's ".XXXXXX"
  std::vector<Path> found;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(root_, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    const std::string stem = name.substr(0, name.size() - std::min(name.size(), kRandomPart));
    const bool of_file = stem == metrics().filename() || stem == ledger().filename() ||
                         stem == config().filename() || stem == done().filename() ||
                         stem == rewinds().filename();
    if (of_file || name.starts_with(".adapter.tmp") || name.starts_with(".model.tmp"))
      found.push_back(entry->path());
  }
  for (const Path& path : found) {
    // Its name goes first: a folder half removed must not be given one.
    const Path hidden = root_ / ".removed";
    std::filesystem::remove_all(hidden, error);
    std::filesystem::rename(path, hidden, error);
    std::filesystem::remove_all(error ? path : hidden, error);
    if (error) log_warning("cannot remove {}: {}", path.string(), error.message());
  }
}

void RunFolder::write(const Path& path, std::string_view text) const {
  AtomicFile file(path);
  file.write(text);
  if (allowed_) allowed_();
  file.commit();
}

void RunFolder::start(const RunConfig& values) const {
  remove(done());
  write(config(), to_json(values).dump(2) + "\n");
}

void RunFolder::remove_rewinds() const { remove(rewinds()); }

void RunFolder::remove(const Path& path) const {
  if (!std::filesystem::exists(path)) return;  // a removal on its way while another start takes over is late
  if (allowed_) allowed_();
  std::error_code error;
  std::filesystem::remove(path, error);
  require(!error, "cannot remove {}: {}", path.string(), error.message());
}

NewFolderOptions RunFolder::place(const Path& result) const {
  return {.path = result, .replaces = Replaces::kAnyFolder, .mark = mark_, .allowed = allowed_};
}

void RunFolder::write_adapter(const std::vector<AdapterFile>& files) const {
  ranktune::write_adapter(place(adapter()), files);
}

void RunFolder::write_model(ModelFolderOptions options, const std::vector<FinalWeight>& weights) const {
  options.folder = place(model());
  write_model_folder(options, weights);
}

void RunFolder::write_rewinds(std::string_view text) const { write(rewinds(), text); }

void RunFolder::write_done(std::int64_t steps) const {
  write(done(), OrderedJson{{"steps", steps}}.dump() + "\n");
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

}  // namespace ranktune
