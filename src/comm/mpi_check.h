#pragma once

namespace ranktune {

/// Throws Error with the call's name, MPI's text for `code` and this process's rank, unless `code` is
/// MPI_SUCCESS.
void mpi_check(int code, const char* call);

}  // namespace ranktune
