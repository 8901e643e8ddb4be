#include "comm/buffer.h"

namespace ranktune {

std::size_t element_size(ElementType type) noexcept {
  switch (type) {
    case ElementType::kByte:
      return 1;
    case ElementType::kBFloat16:
      return 2;
    case ElementType::kInt32:
    case ElementType::kFloat32:
      return 4;
    case ElementType::kInt64:
    case ElementType::kFloat64:
      return 8;
  }
  return 1;
}

std::string_view element_name(ElementType type) noexcept {
  switch (type) {
    case ElementType::kByte:
      return "byte";
    case ElementType::kInt32:
      return "int32";
    case ElementType::kInt64:
      return "int64";
    case ElementType::kFloat32:
      return "float32";
    case ElementType::kFloat64:
      return "float64";
    case ElementType::kBFloat16:
      return "bfloat16";
  }
  return "unknown";
}

std::string_view device_name(DeviceKind device) noexcept {
  return device == DeviceKind::kCpu ? "host" : "GPU";
}

}  // namespace ranktune
