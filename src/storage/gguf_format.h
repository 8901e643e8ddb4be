#pragma once

#include <cstdint>

namespace ranktune {

// The numbers of the GGUF format (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).

inline constexpr std::uint32_t kGgufMagic = 0x46554747;  ///< "GGUF"
/// Of the tensors' places, where general.alignment says nothing else.
inline constexpr std::uint64_t kGgufAlignment = 32;

/// Types of metadata values.
enum class GgufType : std::uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
};

/// Types of tokens in tokenizer.ggml.token_type.
enum class GgufToken : std::int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5
};

}  // namespace ranktune
