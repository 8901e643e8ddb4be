#include "storage/new_folder.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

namespace fs = std::filesystem;

class NewFolderTest : public testing::Test {
 protected:
  Path place() const { return dir_ / "place"; }
  void write(const NewFolderOptions& options, const char* text) const {
    NewFolder folder(options);
    write_file(folder.filling() / "file", text);
    folder.commit();
  }
  /// What the parent holds: nothing is left over beside the place.
  std::ptrdiff_t entries() const { return std::distance(fs::directory_iterator(dir_.path()), {}); }
  const TempDir dir_;
};

TEST_F(NewFolderTest, IsThereWhenCommitted) {
  const Path inner = dir_ / "a/b/place/";
  {
    NewFolder folder({.path = inner, .mark = "-7"});
    write_file(folder.filling() / "file", "x");
    EXPECT_TRUE(folder.filling().filename().string().starts_with(".place.tmp-7."));
    EXPECT_EQ(folder.filling().parent_path(), dir_ / "a/b");
    EXPECT_FALSE(fs::exists(inner));
    folder.commit();
    EXPECT_FALSE(fs::exists(folder.filling()));
  }
  EXPECT_EQ(read_file(inner / "file"), "x");
  EXPECT_EQ(fs::status(inner).permissions(), fs::perms(0755));
}

TEST_F(NewFolderTest, WithoutCommitNothingIsLeft) {
  {
    NewFolder folder({.path = place()});
    write_file(folder.filling() / "file", "x");
  }
  EXPECT_EQ(entries(), 0);
}

TEST_F(NewFolderTest, ReplacesWhatItMay) {
  make_folders(place());
  write({.path = place()}, "into an empty one");
  expect_error([&] { write({.path = place()}, "x"); }, "not empty");
  expect_error([&] { write({.path = place(), .replaces = Replaces::kModelFolder}, "x"); },
               "not a model folder");
  write_file(place() / "config.json", "{}");
  write({.path = place(), .replaces = Replaces::kModelFolder}, "over a model");
  EXPECT_EQ(read_file(place() / "file"), "over a model");
  EXPECT_FALSE(fs::exists(place() / "config.json"));
  make_folders(place() / "inner");
  write({.path = place(), .replaces = Replaces::kAnyFolder}, "over any");
  EXPECT_EQ(read_file(place() / "file"), "over any");
  EXPECT_FALSE(fs::exists(place() / "inner"));
  write_file(dir_ / "text", "x");
  expect_error([&] { write({.path = dir_ / "text", .replaces = Replaces::kAnyFolder}, "x"); },
               "not a folder");
  EXPECT_EQ(entries(), 2);
}

TEST_F(NewFolderTest, WhatCameMeanwhileStays) {
  {
    NewFolder folder({.path = place()});
    make_folders(place());
    write_file(place() / "file", "of somebody else");
    expect_error([&] { folder.commit(); }, "not empty");
  }
  EXPECT_EQ(read_file(place() / "file"), "of somebody else");
  EXPECT_EQ(entries(), 1);
}

TEST_F(NewFolderTest, WhoMayNotAnyMoreChangesNothing) {
  write({.path = place()}, "old");
  const auto forbidden = [&] {
    write({.path = place(),
           .replaces = Replaces::kAnyFolder,
           .allowed =
               [&] {
                 EXPECT_EQ(entries(), 2);  // all is prepared
                 fail("another owns it");
               }},
          "new");
  };
  expect_error(forbidden, "another owns it");
  EXPECT_EQ(read_file(place() / "file"), "old");
  EXPECT_EQ(entries(), 1);
}

}  // namespace
}  // namespace ranktune
