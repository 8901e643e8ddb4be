#include "base/hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "base/file.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

// Reference: the value of the empty input that the xxHash project publishes for XXH3 128 bits (canonical byte
// order).
TEST(Hash, IsXxh3Of128Bits) { EXPECT_EQ(hash_hex(std::string_view("")), "99aa06d3014798d86001c324468d497f"); }

TEST(Hash, PiecesGiveTheHashOfTheWhole) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += static_cast<char>(i * 31 % 251);
  for (const std::size_t piece : {1UL, 7UL, 64UL, 1000UL, 4999UL}) {
    Hasher hasher;
    for (std::size_t at = 0; at < text.size(); at += piece) hasher.add(text.substr(at, piece));
    EXPECT_EQ(hasher.hex(), hash_hex(text)) << "pieces of " << piece;
  }
}

TEST(Hash, MayBeAskedInBetween) {
  Hasher hasher;
  hasher.add("ab");
  EXPECT_EQ(hasher.hex(), hash_hex("ab"));
  hasher.add("c");
  EXPECT_EQ(hasher.hex(), hash_hex("abc"));
  EXPECT_EQ(hasher.hex(), hash_hex("abc"));
}

TEST(Hash, ChangesWithEveryBitAndWithTheLength) {
  std::string text(300, 'x');
  const std::string hash = hash_hex(text);
  EXPECT_EQ(hash.size(), 32U);
  EXPECT_NE(hash_hex(text + '\0'), hash);
  for (const std::size_t at : {0UL, 150UL, 299UL}) {
    text[at] = static_cast<char>(text[at] ^ 1);
    EXPECT_NE(hash_hex(text), hash) << at;
    text[at] = static_cast<char>(text[at] ^ 1);
  }
}

TEST(Hash, OfAFileIsThatOfItsBytes) {
  const TempDir folder;
  write_file(folder / "x", "some bytes");
  EXPECT_EQ(hash_file(folder / "x"), hash_hex("some bytes"));
  expect_error([&] { hash_file(folder / "none"); }, "none", "No such file");
}

}  // namespace
}  // namespace ranktune
