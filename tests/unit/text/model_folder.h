#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/file.h"
#include "support/temp_dir.h"
#include "support/zst_file.h"
#include "text/tokenizer.h"

namespace ranktune {

/// The model folder of one of the reference tokenizers (tests/data/tokenizers/NAME), unpacked.
class ModelFolder {
 public:
  explicit ModelFolder(const std::string& name) {
    const Path source = Path(RANKTUNE_TEST_DATA) / "tokenizers" / name;
    for (const char* file : {"tokenizer.json", "qwen.tiktoken"})
      if (std::filesystem::exists(source / (file + std::string(".zst"))))
        write_file(folder_ / file, read_zst(source / (file + std::string(".zst"))));
    if (std::filesystem::exists(source / "tokenizer_config.json"))
      write_file(folder_ / "tokenizer_config.json", read_file(source / "tokenizer_config.json"));
  }
  const Path& path() const { return folder_.path(); }

 private:
  TempDir folder_;
};

inline std::unique_ptr<const Tokenizer> load_reference_tokenizer(const std::string& name) {
  return Tokenizer::load(ModelFolder(name).path());
}

}  // namespace ranktune
