#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "verify/figure.h"

namespace ranktune {

/// The recorded models that the tests bring along.
inline Path golden_folder(const std::string& model) { return Path(RANKTUNE_TEST_DATA) / "golden" / model; }

/// "MODEL/VARIANT" for every adapter folder of every recorded model.
inline std::vector<std::string> golden_variants() {
  std::vector<std::string> names;
  for (const auto& model : std::filesystem::directory_iterator(golden_folder("")))
    if (std::filesystem::is_directory(model.path() / "adapters"))
      for (const auto& entry : std::filesystem::directory_iterator(model.path() / "adapters"))
        if (const std::string name = entry.path().filename().string(); !name.ends_with("_trained"))
          names.push_back(model.path().filename().string() + "/" + name);
  std::sort(names.begin(), names.end());
  return names;
}

inline std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
}

/// The program's limit on logits is wide, for models of any size; these small ones must meet a tenth of it.
inline constexpr double kSmallModelLogits = 2e-5;

inline void expect_figures_pass(const Findings& findings) {
  for (const Figure& figure : findings.figures()) {
    EXPECT_TRUE(figure.passed()) << figure_line(figure);
    if (figure.what.find("logits") != std::string::npos) {
      EXPECT_LT(figure.error, kSmallModelLogits) << figure_line(figure);
    }
  }
}

/// How many figures' names hold `text`.
inline std::ptrdiff_t figures_named(const Findings& findings, const std::string& text) {
  return std::count_if(findings.figures().begin(), findings.figures().end(),
                       [&](const Figure& figure) { return figure.what.find(text) != std::string::npos; });
}

}  // namespace ranktune
