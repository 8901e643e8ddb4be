#include "model/model_files.h"

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"
#include "storage/prefetch.h"

namespace ranktune {

Json read_model_config(const Path& folder) {
  require(std::filesystem::is_directory(folder),
          "model folder {} does not exist; give a Hugging Face model folder (config.json, *.safetensors, "
          "tokenizer)",
          folder.string());
  return read_json_file(folder / "config.json");
}

ModelFiles open_model_files(const Path& folder) {
  return {.folder = folder,
          .config = read_model_config(folder),
          .weights = std::make_shared<const WeightFiles>(list_weights(folder))};
}

std::string weights_fingerprint(const WeightFiles& weights, const std::function<void()>& progress) {
  constexpr std::size_t kPiece = std::size_t{1} << 26;
  Hasher hasher;
  for (std::size_t i = 0; i < weights.files().size(); ++i) {
    hasher.add(weights.list().files[i]);
    prefetch(weights.files()[i].bytes().first(std::min(kPiece, weights.files()[i].bytes().size())));
    for (std::span rest = weights.files()[i].bytes(); !rest.empty();) {
      const std::size_t count = std::min(kPiece, rest.size());
      prefetch(rest.subspan(count, std::min(kPiece, rest.size() - count)));
      hasher.add(rest.first(count));
      rest = rest.subspan(count);
      if (progress) progress();
    }
  }
  return hasher.hex();
}

std::string weights_fingerprint(const Path& folder) {
  return weights_fingerprint(WeightFiles(list_weights(folder)));
}

}  // namespace ranktune
