#include "comm/communicator.h"

#include "base/error.h"

namespace ranktune {

std::string_view reduce_name(ReduceOp op) noexcept {
  switch (op) {
    case ReduceOp::kSum:
      return "sum";
    case ReduceOp::kMax:
      return "max";
    case ReduceOp::kMin:
      return "min";
  }
  return "unknown";
}

void Communicator::check(const char* call, const ConstBuffer& buffer) const {
  require(takes(buffer.device), "{} on rank {} ({}): {} memory was given, which this backend cannot use",
          call, rank_, backend(), device_name(buffer.device));
  require(buffer.count >= 0, "{} on rank {} ({}): the count {} is negative", call, rank_, backend(),
          buffer.count);
  require(buffer.count == 0 || buffer.data != nullptr, "{} on rank {} ({}): a null pointer for {} elements",
          call, rank_, backend(), buffer.count);
}

void Communicator::check_root(const char* call, int root) const {
  require(root >= 0 && root < size_, "{} on rank {} ({}): root {} is not one of {} ranks", call, rank_,
          backend(), root, size_);
}

void Communicator::check_blocks(const char* call, const ConstBuffer& part, const ConstBuffer& whole) const {
  check(call, part);
  check(call, whole);
  require(part.type == whole.type, "{} on rank {} ({}): {} and {} elements cannot be mixed", call, rank_,
          backend(), element_name(part.type), element_name(whole.type));
  std::int64_t expected = 0;
  require(!__builtin_mul_overflow(part.count, std::int64_t{size_}, &expected) && whole.count == expected,
          "{} on rank {} ({}): the whole has {} elements, not {} ranks x {}", call, rank_, backend(),
          whole.count, size_, part.count);
}

}  // namespace ranktune
