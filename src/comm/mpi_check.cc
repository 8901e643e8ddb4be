#include "comm/mpi_check.h"

#include <mpi.h>

#include <string>

#include "base/error.h"

namespace ranktune {

void mpi_check(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) length = 0;
  int initialized = 0, finalized = 0, rank = -1;
  MPI_Initialized(&initialized);
  MPI_Finalized(&finalized);
  if (initialized != 0 && finalized == 0) MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  fail("{} failed on rank {}: {} (MPI error {})", call, rank,
       std::string(text, static_cast<std::size_t>(length)), code);
}

}  // namespace ranktune
