#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ranktune {

/// ggml's storage types that can be read; the numbers are those in GGUF files.
enum class GgmlType : std::uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ4_K = 12,
  kQ6_K = 14,
  kBF16 = 30,
};

/// nullopt where the type is not one of the above.
std::optional<GgmlType> ggml_type_from_number(std::uint32_t number);
std::string_view ggml_type_name(GgmlType type);
/// "F32, F16, …" for messages.
std::string supported_ggml_types();

/// Elements of one block (rows are whole numbers of blocks) and its bytes.
std::size_t ggml_block_elements(GgmlType type);
std::size_t ggml_block_bytes(GgmlType type);

/// out.size() elements, a multiple of the block, as fp32: the values that ggml's dequantize_row_* give, bit
/// for bit. `blocks` holds exactly that many blocks and needs no alignment.
void dequantize(GgmlType type, std::span<const std::byte> blocks, std::span<float> out);

}  // namespace ranktune
