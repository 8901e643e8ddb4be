#pragma once

#include <exception>
#include <string>

namespace ranktune {

/// What an exception says, in one line: LibTorch's without its stack trace.
std::string error_text(const std::exception& error);

/// The same for a training, with the remedy where it is want of memory.
std::string training_error_text(const std::exception& error);

}  // namespace ranktune
