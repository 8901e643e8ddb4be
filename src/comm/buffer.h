#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

namespace ranktune {

/// What a buffer's elements are. kByte is an unsigned 8-bit number (sums wrap around); kBFloat16 is two
/// bytes.
enum class ElementType { kByte, kInt32, kInt64, kFloat32, kFloat64, kBFloat16 };

enum class DeviceKind { kCpu, kCuda };

std::size_t element_size(ElementType type) noexcept;
std::string_view element_name(ElementType type) noexcept;
std::string_view device_name(DeviceKind device) noexcept;

/// `count` contiguous elements that somebody else owns.
struct Buffer {
  void* data = nullptr;
  std::int64_t count = 0;
  ElementType type = ElementType::kByte;
  DeviceKind device = DeviceKind::kCpu;
};

struct ConstBuffer {
  const void* data = nullptr;
  std::int64_t count = 0;
  ElementType type = ElementType::kByte;
  DeviceKind device = DeviceKind::kCpu;

  ConstBuffer() = default;
  ConstBuffer(const void* data_in, std::int64_t count_in, ElementType type_in,
              DeviceKind device_in = DeviceKind::kCpu)
      : data(data_in), count(count_in), type(type_in), device(device_in) {}
  ConstBuffer(const Buffer& buffer)  // NOLINT: a Buffer is good wherever a ConstBuffer is
      : data(buffer.data), count(buffer.count), type(buffer.type), device(buffer.device) {}
};

/// The ElementType of a C++ type; types without one do not compile. (bfloat16 has no C++ type: name it by
/// hand.)
template <typename T>
consteval ElementType element_type_of() {
  using Plain = std::remove_cv_t<T>;
  if constexpr (std::is_same_v<Plain, float>) {
    return ElementType::kFloat32;
  } else if constexpr (std::is_same_v<Plain, double>) {
    return ElementType::kFloat64;
  } else if constexpr (std::is_same_v<Plain, std::byte> || std::is_same_v<Plain, char> ||
                       std::is_same_v<Plain, std::uint8_t>) {
    return ElementType::kByte;
  } else {
    static_assert(std::is_integral_v<Plain> && std::is_signed_v<Plain> && (sizeof(T) == 4 || sizeof(T) == 8),
                  "no communication element type for this C++ type");
    return sizeof(T) == 4 ? ElementType::kInt32 : ElementType::kInt64;
  }
}

/// Host memory as a buffer.
template <typename T>
Buffer buffer_of(std::span<T> values) {
  static_assert(!std::is_const_v<T>);
  return {values.data(), static_cast<std::int64_t>(values.size()), element_type_of<T>(), DeviceKind::kCpu};
}
template <typename T>
ConstBuffer const_buffer_of(std::span<T> values) {
  return {values.data(), static_cast<std::int64_t>(values.size()), element_type_of<T>()};
}

}  // namespace ranktune
