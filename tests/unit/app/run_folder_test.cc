#include "app/run_folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>

#include "base/error.h"
#include "base/json.h"
#include "storage/safetensors.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

namespace fs = std::filesystem;

TEST(RunFolder, ARefusedRunLeavesNothing) {
  const TempDir place;
  RunFolder folder(place / "a/b/run");
  folder.prepare();
  EXPECT_TRUE(fs::is_directory(place / "a/b/run/checkpoints"));
  folder.remove_if_unused();
  EXPECT_TRUE(fs::is_empty(place.path()));
}

TEST(RunFolder, WhatIsInUseOrWasThereBeforeStays) {
  const TempDir place;
  fs::create_directories(place / "old");
  RunFolder old(place / "old");
  old.prepare();
  old.remove_if_unused();
  EXPECT_TRUE(fs::is_directory(place / "old"));
  EXPECT_FALSE(fs::exists(place / "old/checkpoints"));
  RunFolder used(place / "used");
  used.prepare();
  write_file(used.metrics(), "x");
  used.remove_if_unused();
  EXPECT_TRUE(fs::exists(used.metrics()));
}

TEST(RunFolder, StartingTakesAnEarlierEndsMark) {
  const TempDir place;
  RunFolder folder(place / "run");
  folder.prepare();
  folder.write_done(7);
  EXPECT_EQ(read_json_file(folder.done()), Json({{"steps", 7}}));
  folder.prepare();
  EXPECT_TRUE(fs::exists(folder.done()));
  RunConfig config;
  config.run.seed = 123;
  folder.start(config);
  EXPECT_FALSE(fs::exists(folder.done()));
  EXPECT_EQ(read_json_file(folder.config()).at("run.seed"), 123);
}

TEST(RunFolder, AnAttemptThatMayNoLongerWriteChangesNothing) {
  const TempDir place;
  RunFolder folder(place / "run");
  folder.prepare();
  folder.write_done(7);
  int asked = 0;
  folder.write_as(2, [&asked] {
    ++asked;
    fail("another attempt owns it");
  });
  expect_error([&] { folder.start({}); }, "another attempt owns it");
  expect_error([&] { folder.write_done(8); }, "another attempt owns it");
  expect_error([&] { folder.write_rewinds("[]\n"); }, "another attempt owns it");
  expect_error(
      [&] {
        folder.write_adapter({{"a", 1, [&](const Path& path) {
                                 EXPECT_TRUE(
                                     path.parent_path().filename().string().starts_with(".adapter.tmp-2."));
                                 write_file(path, "1");
                               }}});
      },
      "another attempt owns it");
  EXPECT_EQ(asked, 4);
  EXPECT_EQ(read_json_file(folder.done()), Json({{"steps", 7}}));
  EXPECT_FALSE(fs::exists(folder.config()));
  EXPECT_FALSE(fs::exists(folder.adapter()));
  EXPECT_FALSE(fs::exists(folder.rewinds()));
}

TEST(RunFolder, LeftoversAreWhatHasNoNameYet) {
  const TempDir place;
  RunFolder folder(place / "run");
  folder.prepare();
  for (const char* name : {"metrics.jsonl", "metrics.jsonl.aB3dEf", "done.json.000000", "rewinds.json.a1b2c3",
                           "config.json.x", "notes.abcdef", "owner"})
    write_file(folder.root() / name, "");
  make_folders(folder.root() / ".adapter.tmp-1.aB3dEf/x");
  make_folders(folder.root() / ".model.tmp-1.aB3dEf");
  make_folders(folder.adapter());
  folder.remove_leftovers();
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder.root())) names.push_back(entry.path().filename());
  std::ranges::sort(names);
  EXPECT_EQ(names, (std::vector<std::string>{"adapter", "checkpoints", "config.json.x", "metrics.jsonl",
                                             "notes.abcdef", "owner"}));
}

TEST(RunFolder, AFileInItsPlaceIsNamed) {
  const TempDir place;
  write_file(place / "file", "x");
  expect_error([&] { RunFolder(place / "file").prepare(); }, (place / "file").string());
  expect_error([&] { RunFolder(place / "file/run").prepare(); }, (place / "file").string());
}

TEST(RunFolder, AResultReplacesTheEarlierOneWhenWhole) {
  const TempDir place;
  RunFolder folder(place / "run");
  folder.prepare();
  bool allowed = true;
  folder.write_as(2, [&allowed] { require(allowed, "another attempt owns it"); });
  make_folders(place / "base");
  write_file(place / "base/config.json", "{}");
  const ParameterList parameters{std::make_shared<Parameter>("w", torch::zeros({2, 3}))};
  const auto write = [&](const torch::Tensor& value) {
    folder.write_model({.base = place / "base"}, trained_weights(parameters, {value}));
  };
  const auto first_value = [&] {
    const SafetensorsFile file = SafetensorsFile::open(folder.model() / "model.safetensors");
    float value = 0;
    std::memcpy(&value, file.get("w").data.data(), sizeof value);
    return value;
  };
  const torch::Tensor ones = torch::ones({2, 3});
  write(ones);
  EXPECT_EQ(first_value(), 1.0f);
  make_folders(folder.model() / "inner");
  write(ones * 2);
  EXPECT_EQ(first_value(), 2.0f);
  EXPECT_FALSE(fs::exists(folder.model() / "inner"));

  allowed = false;
  expect_error([&] { write(ones * 3); }, "another attempt owns it");
  allowed = true;
  expect_error([&] { write(ones * NAN); }, "NaN");
  expect_error(
      [&] {
        folder.write_adapter({{"a", 1, [](const Path&) { fail("the disk is full"); }}});
      },
      "the disk is full");
  EXPECT_EQ(first_value(), 2.0f);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.root()), {}), 2);  // checkpoints, model
}

TEST(ParameterCopy, IsOfTheMomentItWasMade) {
  const TempDir place;
  const torch::Tensor value = torch::arange(6, torch::kFloat32).reshape({2, 3});
  const ParameterList parameters{std::make_shared<Parameter>("w", value)};
  const AdapterFile copy = parameter_copy(parameter_file(false), parameters, {value});
  EXPECT_EQ(copy.bytes, 24u);
  value.fill_(-1);
  copy.write(place / copy.name);
  const std::vector<torch::Tensor> found = read_parameters(place / "model.safetensors", parameters);
  EXPECT_EQ(found.at(0)[1][2].item<float>(), 5.0f);
}

}  // namespace
}  // namespace ranktune
