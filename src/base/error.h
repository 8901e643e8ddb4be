#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace ranktune {

/// What went wrong, as far as the caller of the program must know. Persistent: scripts test the exit codes.
enum class ErrorKind {
  kInput,        ///< a file, configuration value or machine the user can mend: exit 1
  kUsage,        ///< a wrong command line: exit 2
  kInterrupted,  ///< stopped on request after a checkpoint; run again to go on: exit 75 (EX_TEMPFAIL)
};

/// Process exit codes (README.md documents them).
inline constexpr int kExitDone = 0;
inline constexpr int kExitError = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitInterrupted = 75;

/// The only exception the project throws on purpose. Its text is one message for the user:
/// what is wrong, where (file:line or object), the offending value, and the remedy.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, ErrorKind kind = ErrorKind::kInput)
      : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const noexcept { return kind_; }

 private:
  ErrorKind kind_;
};

int exit_code(ErrorKind kind) noexcept;

/// Throws Error(kInput) with the formatted message.
template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

/// Throws Error(kInput) with the formatted message unless `condition` holds.
template <typename... Args>
void require(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) throw Error(fmt::format(format, std::forward<Args>(args)...));
}

/// ": No such file or directory" and the like for the current errno; "" where errno is 0.
std::string errno_text();

}  // namespace ranktune
