#pragma once

#include <exception>
#include <string>

namespace ranktune {

/// What an exception says, in one line: LibTorch's without its stack trace, want of memory with the remedy.
std::string error_text(const std::exception& error);

}  // namespace ranktune
