#include "app/version.h"

#include <fmt/core.h>
#include <hdf5.h>
#include <simdjson.h>
#include <spdlog/version.h>
#include <torch/version.h>
#include <utf8proc.h>
#include <xxhash.h>

#include <CLI/Version.hpp>
#include <array>
#include <nlohmann/json.hpp>

#if __has_include(<toml++/impl/version.hpp>)  // since 3.4
#include <toml++/impl/version.hpp>
#else
#include <toml++/impl/version.h>
#endif

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "comm/cuda_devices.h"
#include "comm/mpi_session.h"

namespace ranktune {
namespace {

std::string hdf5_version() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return fmt::format("{}.{}.{}", major, minor, release);
}

std::string pcre2_version() {
  std::array<char, 64> text{};
  static_cast<void>(pcre2_config(PCRE2_CONFIG_VERSION, text.data()));
  return text.data();
}

std::string xxhash_version() {
  const unsigned number = XXH_versionNumber();
  return fmt::format("{}.{}.{}", number / 10000, number / 100 % 100, number % 100);
}

}  // namespace

// Shared libraries say what was loaded; of header-only ones it is known what was compiled in.
std::string version_text() {
  std::string text = fmt::format("ranktune {}\n", RANKTUNE_VERSION);
  const auto line = [&](const char* name, const std::string& version) {
    text += fmt::format("  {:<16}{}\n", name, version);
  };
  line("MPI", MpiSession::library());
  line("LibTorch", TORCH_VERSION);
  line("GPU", fmt::format("{}; {} visible", gpu_libraries(), visible_gpus()));
  line("HDF5", hdf5_version());
  line("PCRE2", pcre2_version());
  line("utf8proc", utf8proc_version());
  line("xxHash", xxhash_version());
  line("simdjson", fmt::format("{}.{}.{}", static_cast<int>(simdjson::SIMDJSON_VERSION_MAJOR),
                               static_cast<int>(simdjson::SIMDJSON_VERSION_MINOR),
                               static_cast<int>(simdjson::SIMDJSON_VERSION_REVISION)));
  line("toml++", fmt::format("{}.{}.{}", TOML_LIB_MAJOR, TOML_LIB_MINOR, TOML_LIB_PATCH));
  line("CLI11", CLI11_VERSION);
  line("nlohmann/json", fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR,
                                    NLOHMANN_JSON_VERSION_PATCH));
  line("fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100));
  line("spdlog", fmt::format("{}.{}.{}", SPDLOG_VER_MAJOR, SPDLOG_VER_MINOR, SPDLOG_VER_PATCH));
  text.pop_back();  // CLI11 ends the line
  return text;
}

}  // namespace ranktune
