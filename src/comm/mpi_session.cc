#include "comm/mpi_session.h"

#include <fmt/format.h>
#include <mpi.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <exception>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "comm/exit_guard.h"
#include "comm/launch_environment.h"
#include "comm/mpi_check.h"

namespace ranktune {
namespace {

constexpr std::size_t kHostNameSize = 256;

}  // namespace

MpiSession::MpiSession() : uncaught_at_start_(std::uncaught_exceptions()) {
  set_library_defaults();
  int provided = MPI_THREAD_SINGLE;
  mpi_check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
  try {
    mpi_check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    require(provided == MPI_THREAD_MULTIPLE,
            "this MPI library gives thread level {}, but MPI_THREAD_MULTIPLE ({}) is needed: use an Open MPI "
            "built "
            "with thread support",
            provided, MPI_THREAD_MULTIPLE);
    mpi_check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
    mpi_check(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
    if (const auto mistake = launch_mistake(process_environment(), size_)) throw Error(*mistake);
    learn_places();
  } catch (...) {
    // The destructor does not run for a half-made object. A world of one can close in good order.
    if (size_ == 1) MPI_Finalize();
    throw;
  }
}

void MpiSession::learn_places() {
  MPI_Comm node = MPI_COMM_NULL;
  mpi_check(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &node),
            "MPI_Comm_split_type");
  mpi_check(MPI_Comm_rank(node, &local_rank_), "MPI_Comm_rank");
  mpi_check(MPI_Comm_size(node, &local_size_), "MPI_Comm_size");
  mpi_check(MPI_Comm_free(&node), "MPI_Comm_free");

  std::array<char, kHostNameSize> mine{};
  host_name().copy(mine.data(), mine.size() - 1);
  std::vector<char> all(kHostNameSize * static_cast<std::size_t>(size_));
  mpi_check(MPI_Allgather(mine.data(), static_cast<int>(kHostNameSize), MPI_CHAR, all.data(),
                          static_cast<int>(kHostNameSize), MPI_CHAR, MPI_COMM_WORLD),
            "MPI_Allgather");
  for (std::size_t rank = 0; rank < static_cast<std::size_t>(size_); ++rank) {
    hosts_.emplace_back(all.data() + rank * kHostNameSize);
  }
  node_count_ = static_cast<int>(std::set<std::string>(hosts_.begin(), hosts_.end()).size());
}

MpiSession::~MpiSession() {
  const bool failing = abort_signal_->raised() || std::uncaught_exceptions() > uncaught_at_start_;
  // Alone there is nobody to end, and the exception's message is still to be printed by its handler.
  if (failing && size_ > 1) end_job(kExitError);
  if (!failing) finalize();
}

void MpiSession::finalize() noexcept {
  std::optional<ExitGuard> guard;
  if (size_ > 1)
    guard.emplace(
        patience_ + ExitGuard::turn(rank_),
        fmt::format("all is done, but another rank has not come to its end for {:.0f} s; ending the job",
                    patience_));
  MPI_Finalize();
}

std::string MpiSession::library() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  mpi_check(MPI_Get_library_version(text, &length), "MPI_Get_library_version");
  const std::string whole(text, static_cast<std::size_t>(length));
  return whole.substr(0, whole.find(','));
}

void MpiSession::end_job(int exit_code, std::string_view last_words) noexcept {
  leave_soon(exit_code);
  speak(exit_code, last_words);
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  ::_exit(exit_code);
}

}  // namespace ranktune
