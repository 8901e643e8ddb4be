#include "base/byte_size.h"

#include <array>
#include <charconv>
#include <cmath>

#include "base/error.h"

namespace ranktune {
namespace {

struct Unit {
  std::string_view name;
  double bytes;
};
constexpr std::array kUnits{
    Unit{"", 1},      Unit{"B", 1},        Unit{"KB", 1e3},     Unit{"MB", 1e6},     Unit{"GB", 1e9},
    Unit{"TB", 1e12}, Unit{"KiB", 0x1p10}, Unit{"MiB", 0x1p20}, Unit{"GiB", 0x1p30}, Unit{"TiB", 0x1p40},
};

}  // namespace

std::uint64_t parse_byte_size(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string_view name = text.substr(static_cast<std::size_t>(end - text.data()));
  while (name.starts_with(' ')) name.remove_prefix(1);
  for (const Unit& unit : kUnits) {
    if (error != std::errc() || unit.name != name) continue;
    const double bytes = std::floor(number * unit.bytes);
    if (bytes >= 1 && bytes < 0x1p63) return static_cast<std::uint64_t>(bytes);
  }
  fail("\"{}\" is not a size in bytes; write it like 5GB, 500MB or 2GiB", text);
}

}  // namespace ranktune
