#include "storage/dequantize.h"

#include <array>
#include <cstring>

#include "base/error.h"
#include "storage/dtype.h"

namespace ranktune {
namespace {

struct TypeFacts {
  GgmlType type;
  std::string_view name;
  std::size_t elements;  ///< of one block
  std::size_t bytes;     ///< of one block
};
constexpr std::array kTypes{
    TypeFacts{GgmlType::kF32, "F32", 1, 4},       TypeFacts{GgmlType::kF16, "F16", 1, 2},
    TypeFacts{GgmlType::kBF16, "BF16", 1, 2},     TypeFacts{GgmlType::kQ4_0, "Q4_0", 32, 18},
    TypeFacts{GgmlType::kQ4_1, "Q4_1", 32, 20},   TypeFacts{GgmlType::kQ5_0, "Q5_0", 32, 22},
    TypeFacts{GgmlType::kQ5_1, "Q5_1", 32, 24},   TypeFacts{GgmlType::kQ8_0, "Q8_0", 32, 34},
    TypeFacts{GgmlType::kQ4_K, "Q4_K", 256, 144}, TypeFacts{GgmlType::kQ6_K, "Q6_K", 256, 210},
};

const TypeFacts& facts(GgmlType type) {
  for (const TypeFacts& known : kTypes)
    if (known.type == type) return known;
  fail("ggml type {} is not supported; supported are {}", static_cast<std::uint32_t>(type),
       supported_ggml_types());
}

unsigned byte_at(const std::byte* data, std::size_t index) { return std::to_integer<unsigned>(data[index]); }
int signed_at(const std::byte* data, std::size_t index) {
  return static_cast<std::int8_t>(std::to_integer<std::uint8_t>(data[index]));
}
float half_at(const std::byte* data, std::size_t index) {
  std::uint16_t bits;
  std::memcpy(&bits, data + index, sizeof bits);
  return f16_to_f32(bits);
}

// The first half of a block of 32 lies in the low nibbles of 16 bytes, the second half in the high ones.

void q4_0(const std::byte* block, float* out) {
  const float scale = half_at(block, 0);
  for (std::size_t i = 0; i < 16; ++i) {
    const unsigned pair = byte_at(block, 2 + i);
    out[i] = static_cast<float>(static_cast<int>(pair & 0xFu) - 8) * scale;
    out[i + 16] = static_cast<float>(static_cast<int>(pair >> 4) - 8) * scale;
  }
}

void q4_1(const std::byte* block, float* out) {
  const float scale = half_at(block, 0), minimum = half_at(block, 2);
  for (std::size_t i = 0; i < 16; ++i) {
    const unsigned pair = byte_at(block, 4 + i);
    out[i] = static_cast<float>(pair & 0xFu) * scale + minimum;
    out[i + 16] = static_cast<float>(pair >> 4) * scale + minimum;
  }
}

/// Value i of a block of 32 with five bits each: four in a nibble, the fifth as bit i of a 32-bit word.
unsigned five_bits(const std::byte* high_bits, const std::byte* nibbles, std::size_t i) {
  std::uint32_t high;
  std::memcpy(&high, high_bits, sizeof high);
  const unsigned pair = byte_at(nibbles, i % 16);
  return (i < 16 ? pair & 0xFu : pair >> 4) | (((high >> i) & 1u) << 4);
}

void q5_0(const std::byte* block, float* out) {
  const float scale = half_at(block, 0);
  for (std::size_t i = 0; i < 32; ++i)
    out[i] = static_cast<float>(static_cast<int>(five_bits(block + 2, block + 6, i)) - 16) * scale;
}

void q5_1(const std::byte* block, float* out) {
  const float scale = half_at(block, 0), minimum = half_at(block, 2);
  for (std::size_t i = 0; i < 32; ++i)
    out[i] = static_cast<float>(five_bits(block + 4, block + 8, i)) * scale + minimum;
}

void q8_0(const std::byte* block, float* out) {
  const float scale = half_at(block, 0);
  for (std::size_t i = 0; i < 32; ++i) out[i] = static_cast<float>(signed_at(block, 2 + i)) * scale;
}

/// Scale and minimum (six bits each) of sub-block j of 8, packed into 12 bytes: the low bits of the last four
/// sub-blocks lie in bytes 8..11, their two high bits on top of bytes 0..7.
struct ScaleMinimum {
  unsigned scale, minimum;
};
ScaleMinimum q4_k_scale(const std::byte* packed, std::size_t j) {
  if (j < 4) return {byte_at(packed, j) & 63u, byte_at(packed, j + 4) & 63u};
  const unsigned low = byte_at(packed, j + 4);
  return {(low & 0xFu) | (byte_at(packed, j - 4) >> 6 << 4), (low >> 4) | (byte_at(packed, j) >> 6 << 4)};
}

void q4_k(const std::byte* block, float* out) {
  const float scale = half_at(block, 0), minimum = half_at(block, 2);
  const std::byte* nibbles = block + 16;
  for (std::size_t j = 0; j < 8; ++j) {
    const ScaleMinimum part = q4_k_scale(block + 4, j);
    const float sub_scale = scale * static_cast<float>(part.scale);
    const float sub_minimum = minimum * static_cast<float>(part.minimum);
    for (std::size_t i = 0; i < 32; ++i) {
      const unsigned pair = byte_at(nibbles, j / 2 * 32 + i);
      out[j * 32 + i] = sub_scale * static_cast<float>(j % 2 == 0 ? pair & 0xFu : pair >> 4) - sub_minimum;
    }
  }
}

void q6_k(const std::byte* block, float* out) {
  const std::byte *low = block, *high = block + 128, *scales = block + 192;
  const float scale = half_at(block, 208);
  for (std::size_t j = 0; j < 8;
       ++j) {  // runs of 32 values; four of them share 64 low bytes and 32 high bytes
    const std::size_t half = j / 4, quarter = j % 4;
    for (std::size_t i = 0; i < 32; ++i) {
      const unsigned pair = byte_at(low, half * 64 + quarter % 2 * 32 + i);
      const unsigned two_bits = byte_at(high, half * 32 + i) >> (2 * quarter) & 3u;
      const int value = static_cast<int>((quarter < 2 ? pair & 0xFu : pair >> 4) | (two_bits << 4)) - 32;
      const int sub_scale = signed_at(scales, j * 2 + i / 16);
      out[j * 32 + i] = scale * static_cast<float>(sub_scale) * static_cast<float>(value);
    }
  }
}

using BlockFunction = void (*)(const std::byte* block, float* out);
BlockFunction block_function(GgmlType type) {
  switch (type) {
    case GgmlType::kQ4_0:
      return q4_0;
    case GgmlType::kQ4_1:
      return q4_1;
    case GgmlType::kQ5_0:
      return q5_0;
    case GgmlType::kQ5_1:
      return q5_1;
    case GgmlType::kQ8_0:
      return q8_0;
    case GgmlType::kQ4_K:
      return q4_k;
    case GgmlType::kQ6_K:
      return q6_k;
    case GgmlType::kF32:
    case GgmlType::kF16:
    case GgmlType::kBF16:
      break;
  }
  return nullptr;
}

}  // namespace

std::optional<GgmlType> ggml_type_from_number(std::uint32_t number) {
  for (const TypeFacts& known : kTypes)
    if (static_cast<std::uint32_t>(known.type) == number) return known.type;
  return std::nullopt;
}

std::string_view ggml_type_name(GgmlType type) { return facts(type).name; }
std::size_t ggml_block_elements(GgmlType type) { return facts(type).elements; }
std::size_t ggml_block_bytes(GgmlType type) { return facts(type).bytes; }

std::string supported_ggml_types() {
  std::string names;
  for (const TypeFacts& known : kTypes) names += fmt::format("{}{}", names.empty() ? "" : ", ", known.name);
  return names;
}

void dequantize(GgmlType type, std::span<const std::byte> blocks, std::span<float> out) {
  const TypeFacts& known = facts(type);
  require(out.size() % known.elements == 0 && blocks.size() == out.size() / known.elements * known.bytes,
          "{} bytes of {} do not hold {} elements", blocks.size(), known.name, out.size());
  if (type == GgmlType::kF32) return widen_to_f32(blocks, DType::kF32, out);
  if (type == GgmlType::kF16) return widen_to_f32(blocks, DType::kF16, out);
  if (type == GgmlType::kBF16) return widen_to_f32(blocks, DType::kBF16, out);
  const BlockFunction function = block_function(type);
  const std::size_t count = out.size() / known.elements;
  for (std::size_t i = 0; i < count; ++i)
    function(blocks.data() + i * known.bytes, out.data() + i * known.elements);
}

}  // namespace ranktune
