#include "storage/dtype.h"

#include <array>
#include <bit>
#include <cstring>

#include "base/error.h"

namespace ranktune {

static_assert(std::endian::native == std::endian::little, "files are little-endian and are read as they lie");

namespace {

struct DTypeFacts {
  DType dtype;
  std::size_t size;
  std::string_view name;
};
/// In the order of the enum.
constexpr std::array kFacts{
    DTypeFacts{DType::kBool, 1, "BOOL"},      DTypeFacts{DType::kU8, 1, "U8"},
    DTypeFacts{DType::kI8, 1, "I8"},          DTypeFacts{DType::kF8E4M3, 1, "F8_E4M3"},
    DTypeFacts{DType::kF8E5M2, 1, "F8_E5M2"}, DTypeFacts{DType::kI16, 2, "I16"},
    DTypeFacts{DType::kU16, 2, "U16"},        DTypeFacts{DType::kF16, 2, "F16"},
    DTypeFacts{DType::kBF16, 2, "BF16"},      DTypeFacts{DType::kI32, 4, "I32"},
    DTypeFacts{DType::kU32, 4, "U32"},        DTypeFacts{DType::kF32, 4, "F32"},
    DTypeFacts{DType::kI64, 8, "I64"},        DTypeFacts{DType::kU64, 8, "U64"},
    DTypeFacts{DType::kF64, 8, "F64"},
};
constexpr bool facts_are_in_order() {
  for (std::size_t i = 0; i < kFacts.size(); ++i)
    if (static_cast<std::size_t>(kFacts[i].dtype) != i) return false;
  return true;
}
static_assert(facts_are_in_order());

const DTypeFacts& facts(DType dtype) { return kFacts[static_cast<std::size_t>(dtype)]; }

template <typename Stored, typename Widen>
void widen_all(std::span<const std::byte> source, std::span<float> out, Widen widen) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, source.data() + i * sizeof(Stored), sizeof(Stored));
    out[i] = widen(stored);
  }
}

template <typename Stored, typename Round>
void round_all(std::span<const float> values, std::span<std::byte> out, Round round) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Stored stored = round(values[i]);
    std::memcpy(out.data() + i * sizeof(Stored), &stored, sizeof(Stored));
  }
}

}  // namespace

std::size_t dtype_size(DType dtype) { return facts(dtype).size; }
std::string_view dtype_name(DType dtype) { return facts(dtype).name; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const DTypeFacts& known : kFacts)
    if (known.name == name) return known.dtype;
  return std::nullopt;
}

std::string_view torch_dtype_name(DType dtype) {
  if (dtype == DType::kF32) return "float32";
  if (dtype == DType::kBF16) return "bfloat16";
  if (dtype == DType::kF16) return "float16";
  fail("weights cannot be stored as {}; F32, BF16 and F16 are possible", dtype_name(dtype));
}

float f16_to_f32(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1Fu;
  const std::uint32_t mantissa = bits & 0x3FFu;
  if (exponent == 0x1Fu) return std::bit_cast<float>(sign | 0x7F800000u | (mantissa << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float subnormal = static_cast<float>(mantissa) * 0x1p-24f;  // exact: 10 bits times a power of two
  return sign != 0 ? -subnormal : subnormal;
}

std::uint16_t f32_to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
  const auto signed_half = [sign](std::uint32_t half) { return static_cast<std::uint16_t>(sign | half); };
  if (magnitude > 0x7F800000u) return signed_half(0x7E00u | ((magnitude >> 13) & 0x1FFu));  // NaN, made quiet
  if (magnitude >= 0x477FF000u) return signed_half(0x7C00u);  // 65520 and above round to infinity
  if (magnitude >= 0x38800000u) {                             // 2^-14 and above: a normal number
    const std::uint32_t rebiased = magnitude - (112u << 23);
    return signed_half((rebiased + 0xFFFu + ((rebiased >> 13) & 1u)) >> 13);
  }
  if (magnitude < 0x33000000u) return sign;  // below 2^-25, half of the smallest subnormal
  const std::uint32_t shift =
      126u - (magnitude >> 23);  // 14 … 24: how far the mantissa lies below 2^-24's place
  const std::uint32_t mantissa = (magnitude & 0x7FFFFFu) | 0x800000u;
  const std::uint32_t rest = mantissa & ((1u << shift) - 1u);
  const std::uint32_t half_way = 1u << (shift - 1u);
  std::uint32_t half = mantissa >> shift;
  if (rest > half_way || (rest == half_way && (half & 1u) != 0)) ++half;
  return signed_half(half);
}

void widen_to_f32(std::span<const std::byte> source, DType dtype, std::span<float> out) {
  require(source.size() == out.size() * dtype_size(dtype), "{} bytes do not hold {} elements of {}",
          source.size(), out.size(), dtype_name(dtype));
  if (dtype == DType::kF32)
    widen_all<float>(source, out, [](float value) { return value; });
  else if (dtype == DType::kBF16)
    widen_all<std::uint16_t>(source, out, [](std::uint16_t bits) { return bf16_to_f32(bits); });
  else if (dtype == DType::kF16)
    widen_all<std::uint16_t>(source, out, f16_to_f32);
  else if (dtype == DType::kF64)
    widen_all<double>(source, out, [](double value) { return static_cast<float>(value); });
  else
    fail("elements of {} cannot be read as weights; F32, BF16, F16 and F64 can", dtype_name(dtype));
}

void round_from_f32(std::span<const float> values, DType dtype, std::span<std::byte> out) {
  require(out.size() == values.size() * dtype_size(dtype), "{} bytes do not hold {} elements of {}",
          out.size(), values.size(), dtype_name(dtype));
  if (dtype == DType::kF32)
    round_all<float>(values, out, [](float value) { return value; });
  else if (dtype == DType::kBF16)
    round_all<std::uint16_t>(values, out, f32_to_bf16);
  else if (dtype == DType::kF16)
    round_all<std::uint16_t>(values, out, f32_to_f16);
  else
    fail("weights cannot be stored as {}; F32, BF16 and F16 are possible", dtype_name(dtype));
}

}  // namespace ranktune
