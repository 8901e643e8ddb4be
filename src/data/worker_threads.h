#pragma once

#include <cstddef>

namespace ranktune {

/// How many threads to work with: those asked for, or with 0 as many as cores this process may run on.
std::size_t worker_threads(int asked);

}  // namespace ranktune
