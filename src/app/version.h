#pragma once

#include <string>

namespace ranktune {

/// The program's version and those of the libraries it runs with, one a line.
std::string version_text();

}  // namespace ranktune
