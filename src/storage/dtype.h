#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace ranktune {

/// The element types of safetensors files. All data is little-endian.
enum class DType : std::uint8_t {
  kBool,
  kU8,
  kI8,
  kF8E4M3,
  kF8E5M2,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kI64,
  kU64,
  kF64,
};

/// Bytes of one element.
std::size_t dtype_size(DType dtype);
/// As safetensors writes it: "F32", "BF16", "BOOL" …
std::string_view dtype_name(DType dtype);
std::optional<DType> dtype_from_name(std::string_view name);
/// As config.json's "torch_dtype" writes it: "float32", "bfloat16", "float16"; Error for all others.
std::string_view torch_dtype_name(DType dtype);

/// bf16 is the upper half of an fp32; widening is exact.
constexpr float bf16_to_f32(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}
/// Rounds to nearest, ties to even; a NaN keeps its sign and stays a (quiet) NaN.
constexpr std::uint16_t f32_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x0040u);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}
/// IEEE 754 binary16, subnormals, infinities and NaN payloads included; widening is exact.
float f16_to_f32(std::uint16_t bits);
/// Rounds to nearest, ties to even; beyond the range it is infinite; a NaN keeps its sign and stays a (quiet)
/// NaN.
std::uint16_t f32_to_f16(float value);

/// `source` holds out.size() elements of kF32, kBF16, kF16 or kF64 (no alignment needed); Error for other
/// types.
void widen_to_f32(std::span<const std::byte> source, DType dtype, std::span<float> out);
/// Writes values.size() elements of kF32, kBF16 or kF16, each rounded once; Error for other types.
void round_from_f32(std::span<const float> values, DType dtype, std::span<std::byte> out);

}  // namespace ranktune
