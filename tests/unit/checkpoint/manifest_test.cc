#include "checkpoint/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/hash.h"
#include "saved_checkpoints.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

Manifest two_files() {
  return {.step = 120,
          .validation_loss = 1.25,
          .files = {{.name = "a.bin", .size = 3, .hash = hash_hex(std::string_view("abc"))},
                    {.name = "b.bin", .size = 0, .hash = hash_hex(std::string_view())}}};
}

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  const std::size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos);
  return text.replace(at, what.size(), with);
}

TEST(Manifest, TextIsReadBack) {
  const Manifest back = Manifest::parse(two_files().text(), "m");
  EXPECT_EQ(back.step, 120);
  EXPECT_EQ(back.validation_loss, 1.25);
  ASSERT_EQ(back.files.size(), 2u);
  EXPECT_EQ(back.files[0].hash, hash_hex(std::string_view("abc")));
  EXPECT_EQ(back.bytes(), 3u);
}

TEST(Manifest, ALossThatIsNoNumberIsLeftOut) {
  Manifest manifest = two_files();
  manifest.validation_loss = NAN;
  EXPECT_FALSE(Manifest::parse(manifest.text(), "m").validation_loss);
}

TEST(Manifest, EveryChangeIsFound) {
  const std::string text = two_files().text();
  expect_error([&] { Manifest::parse(replaced(text, "\"format\": 1", "\"format\": 2"), "m"); }, "m",
               "format 2");
  expect_error([&] { Manifest::parse(replaced(text, "120", "121"), "m"); }, "own hash");
  expect_error([&] { Manifest::parse(replaced(text, "\"size\": 3", "\"size\": 4"), "m"); }, "own hash");
  expect_error([&] { Manifest::parse(replaced(text, "1.25", "0.25"), "m"); }, "own hash");
  expect_error([&] { Manifest::parse(replaced(text, "a.bin", "../a"), "m"); }, "../a");
  expect_error([&] { Manifest::parse(replaced(text, "b.bin", "a.bin"), "m"); }, "a.bin", "twice");
  expect_error([&] { Manifest::parse(text.substr(0, text.size() / 2), "m"); }, "m");
  expect_error([&] { Manifest::parse("{}", "m"); }, "format");
  expect_error([&] { Manifest::parse("", "m"); }, "m");
}

std::string of_format(int format) { return manifest_of_format(two_files().text(), format); }

TEST(Manifest, AnotherVersionIsToldFromDamage) {
  EXPECT_THROW(Manifest::parse(of_format(0), "m"), OtherFormat);
  expect_error([] { Manifest::parse(of_format(0), "m"); }, "m: ", "an older version", "format 0");
  expect_error([] { Manifest::parse(of_format(7), "m"); }, "a newer version", "format 7", "reads format 1",
               "another run.dir");
  try {
    Manifest::parse(replaced(of_format(7), "\"format\": 7", "\"format\": 8"), "m");
    ADD_FAILURE() << "a damaged format was accepted";
  } catch (const OtherFormat&) {
    ADD_FAILURE() << "damage was taken for a version";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("own hash"));
  }
}

TEST(Manifest, FilesAreComparedWithIt) {
  const TempDir folder;
  write_file(folder / "a.bin", "abc");
  write_file(folder / "b.bin", "");
  EXPECT_NO_THROW(verify_files(folder.path(), two_files()));
  EXPECT_EQ(describe_file(folder.path(), "a.bin").hash, hash_file((folder / "a.bin").string()));
  write_file(folder / "a.bin", "abd");
  expect_error([&] { verify_files(folder.path(), two_files()); }, "a.bin", "damaged");
  write_file(folder / "a.bin", "abcd");
  expect_error([&] { verify_files(folder.path(), two_files()); }, "a.bin", "4 bytes", "3");
  std::filesystem::remove(folder / "a.bin");
  expect_error([&] { verify_files(folder.path(), two_files()); }, "a.bin");
}

}  // namespace
}  // namespace ranktune
