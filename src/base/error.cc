#include "base/error.h"

#include <cerrno>
#include <system_error>

namespace ranktune {

int exit_code(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::kInput:
      return kExitError;
    case ErrorKind::kUsage:
      return kExitUsage;
    case ErrorKind::kInterrupted:
      return kExitInterrupted;
  }
  return kExitError;
}

std::string errno_text() {
  return errno == 0 ? std::string() : ": " + std::generic_category().message(errno);
}

}  // namespace ranktune
