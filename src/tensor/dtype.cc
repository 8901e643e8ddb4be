#include "tensor/dtype.h"

#include <array>
#include <utility>

#include "base/error.h"

namespace ranktune {
namespace {

constexpr std::array<std::pair<DType, torch::ScalarType>, 15> kPairs{{
    {DType::kBool, torch::kBool},
    {DType::kU8, torch::kUInt8},
    {DType::kI8, torch::kInt8},
    {DType::kF8E4M3, torch::kFloat8_e4m3fn},
    {DType::kF8E5M2, torch::kFloat8_e5m2},
    {DType::kI16, torch::kInt16},
    {DType::kU16, torch::kUInt16},
    {DType::kF16, torch::kFloat16},
    {DType::kBF16, torch::kBFloat16},
    {DType::kI32, torch::kInt32},
    {DType::kU32, torch::kUInt32},
    {DType::kF32, torch::kFloat32},
    {DType::kI64, torch::kInt64},
    {DType::kU64, torch::kUInt64},
    {DType::kF64, torch::kFloat64},
}};

}  // namespace

torch::ScalarType scalar_type_of(DType dtype) {
  for (const auto& [stored, type] : kPairs)
    if (stored == dtype) return type;
  fail("LibTorch has no element type for {}", dtype_name(dtype));
}

DType stored_dtype_of(torch::ScalarType type) {
  for (const auto& [stored, scalar] : kPairs)
    if (scalar == type) return stored;
  fail("safetensors files have no element type for {}", c10::toString(type));
}

}  // namespace ranktune
