#include "comm/mpi_communicator.h"

#include <mpi.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "comm/mpi_check.h"
#include "comm/wait_loop.h"

namespace ranktune {
namespace {

MPI_Datatype mpi_type(ElementType type) {
  switch (type) {
    case ElementType::kByte:
      return MPI_UINT8_T;
    case ElementType::kInt32:
      return MPI_INT32_T;
    case ElementType::kInt64:
      return MPI_INT64_T;
    case ElementType::kFloat32:
      return MPI_FLOAT;
    case ElementType::kFloat64:
      return MPI_DOUBLE;
    case ElementType::kBFloat16:
      return MPI_UINT16_T;  // only moved as such; reductions go through fp32
  }
  return MPI_DATATYPE_NULL;
}

MPI_Op mpi_op(ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum:
      return MPI_SUM;
    case ReduceOp::kMax:
      return MPI_MAX;
    case ReduceOp::kMin:
      return MPI_MIN;
  }
  return MPI_OP_NULL;
}

float widen(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

/// To nearest, ties to even; a NaN stays one.
std::uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (value != value) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

/// Elements of a chunk that is copied on its way, so that copies stay small.
constexpr std::int64_t kStagedCount = std::int64_t{1} << 22;

/// Memory that MPI reads and writes besides the caller's.
struct Staging {
  std::vector<float> wide, wide_result;
  std::vector<std::byte> packed;
};

struct Shared {
  std::shared_ptr<AbortSignal> abort_signal;
  MpiCommunicatorOptions options;
};

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(MPI_Comm comm, int rank, int size, Shared shared)
      : Communicator(rank, size), comm_(comm), shared_(std::move(shared)) {}
  ~MpiCommunicator() override;

  std::string_view backend() const noexcept override { return "mpi"; }
  bool takes(DeviceKind device) const noexcept override { return device == DeviceKind::kCpu; }
  void broadcast(Buffer buffer, int root) override;
  void all_reduce(Buffer in_place, ReduceOp op) override;
  void reduce_scatter(ConstBuffer send, Buffer receive, ReduceOp op) override;
  void all_gather(ConstBuffer send, Buffer receive) override;
  void barrier() override;
  std::unique_ptr<Communicator> duplicate() override;
  void abort(std::string_view reason) noexcept override { shared_.abort_signal->raise(reason); }

 private:
  /// Starts a call with `start(MPI_Request*)` and waits for it.
  template <typename Start>
  void run(const char* call, Start&& start);
  void wait(MPI_Request& request, const char* call);
  void reduce_chunk(void* values, int count, MPI_Datatype type, ReduceOp op);
  void scatter_chunk(const void* packed, void* receive, int count, MPI_Datatype type, ReduceOp op);
  /// The bfloat16 form: blocks of `count` elements, `stride` bytes apart.
  void scatter_widened(const std::byte* send, std::uint16_t* receive, int count, std::size_t stride,
                       ReduceOp op);
  void gather_chunk(const ConstBuffer& send, const Buffer& receive, std::int64_t offset, int count);
  /// Elements of the next chunk of a buffer of `count`, of which `done` are dealt with.
  int chunk(std::int64_t count, std::int64_t done, bool staged = false) const {
    const std::int64_t most = shared_.options.max_count;
    return static_cast<int>(std::min(count - done, staged ? std::min(most, kStagedCount) : most));
  }

  MPI_Comm comm_;
  Shared shared_;
  std::unique_ptr<Staging> staging_ = std::make_unique<Staging>();
};

MpiCommunicator::~MpiCommunicator() {
  if (shared_.abort_signal->raised()) {
    // A call may still be under way: what it uses is left to the end of the process.
    static_cast<void>(staging_.release());
    return;
  }
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (finalized == 0) MPI_Comm_free(&comm_);
}

template <typename Start>
void MpiCommunicator::run(const char* call, Start&& start) {
  shared_.abort_signal->check(call);
  const ScopedWait mark(shared_.options.activity);
  MPI_Request request = MPI_REQUEST_NULL;
  mpi_check(start(&request), call);
  wait(request, call);
}

void MpiCommunicator::wait(MPI_Request& request, const char* call) {
  const MpiCommunicatorOptions& options = shared_.options;
  WaitLoop loop(call, rank(), *shared_.abort_signal,
                {.timeout = options.timeout, .background = options.background});
  while (true) {
    int done = 0;
    mpi_check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), call);
    if (done != 0) return;
    loop.pause();
  }
}

void MpiCommunicator::broadcast(Buffer buffer, int root) {
  check("broadcast", buffer);
  check_root("broadcast", root);
  if (size() == 1) return;
  const std::size_t width = element_size(buffer.type);
  for (std::int64_t done = 0; done < buffer.count;) {
    const int count = chunk(buffer.count, done);
    void* values = static_cast<std::byte*>(buffer.data) + static_cast<std::size_t>(done) * width;
    run("MPI_Ibcast", [&](MPI_Request* request) {
      return MPI_Ibcast(values, count, mpi_type(buffer.type), root, comm_, request);
    });
    done += count;
  }
}

void MpiCommunicator::reduce_chunk(void* values, int count, MPI_Datatype type, ReduceOp op) {
  run("MPI_Iallreduce", [&](MPI_Request* request) {
    return MPI_Iallreduce(MPI_IN_PLACE, values, count, type, mpi_op(op), comm_, request);
  });
}

void MpiCommunicator::all_reduce(Buffer in_place, ReduceOp op) {
  check("all_reduce", in_place);
  if (size() == 1) return;
  std::vector<float>& wide = staging_->wide;
  const bool widened = in_place.type == ElementType::kBFloat16;
  const std::size_t width = element_size(in_place.type);
  for (std::int64_t done = 0; done < in_place.count;) {
    const int count = chunk(in_place.count, done, widened);
    void* values = static_cast<std::byte*>(in_place.data) + static_cast<std::size_t>(done) * width;
    if (widened) {
      auto* narrow_values = static_cast<std::uint16_t*>(values);
      wide.resize(static_cast<std::size_t>(count));
      std::transform(narrow_values, narrow_values + count, wide.begin(), widen);
      reduce_chunk(wide.data(), count, MPI_FLOAT, op);
      std::transform(wide.begin(), wide.end(), narrow_values, to_bfloat16);
    } else {
      reduce_chunk(values, count, mpi_type(in_place.type), op);
    }
    done += count;
  }
}

void MpiCommunicator::scatter_chunk(const void* packed, void* receive, int count, MPI_Datatype type,
                                    ReduceOp op) {
  run("MPI_Ireduce_scatter_block", [&](MPI_Request* request) {
    return MPI_Ireduce_scatter_block(packed, receive, count, type, mpi_op(op), comm_, request);
  });
}

void MpiCommunicator::scatter_widened(const std::byte* send, std::uint16_t* receive, int count,
                                      std::size_t stride, ReduceOp op) {
  const auto part = static_cast<std::size_t>(count), blocks = static_cast<std::size_t>(size());
  staging_->wide.resize(part * blocks);
  staging_->wide_result.resize(part);
  for (std::size_t rank = 0; rank < blocks; ++rank) {
    const auto* values = reinterpret_cast<const std::uint16_t*>(send + rank * stride);
    std::transform(values, values + count, staging_->wide.data() + rank * part, widen);
  }
  scatter_chunk(staging_->wide.data(), staging_->wide_result.data(), count, MPI_FLOAT, op);
  std::transform(staging_->wide_result.begin(), staging_->wide_result.end(), receive, to_bfloat16);
}

void MpiCommunicator::reduce_scatter(ConstBuffer send, Buffer receive, ReduceOp op) {
  check_blocks("reduce_scatter", receive, send);
  const std::size_t width = element_size(send.type), stride = static_cast<std::size_t>(receive.count) * width;
  const auto* from = static_cast<const std::byte*>(send.data);
  auto* to = static_cast<std::byte*>(receive.data);
  if (size() == 1) {
    if (receive.count > 0 && to != from) std::memmove(to, from, stride);
    return;
  }
  const bool widened = send.type == ElementType::kBFloat16;
  const bool whole = !widened && send.count <= shared_.options.max_count;
  for (std::int64_t done = 0; done < receive.count;) {
    const int count = whole ? static_cast<int>(receive.count) : chunk(receive.count, done, true);
    const std::size_t offset = static_cast<std::size_t>(done) * width;
    if (whole) {
      scatter_chunk(from, to, count, mpi_type(send.type), op);
    } else if (widened) {
      scatter_widened(from + offset, reinterpret_cast<std::uint16_t*>(to + offset), count, stride, op);
    } else {
      const std::size_t part = static_cast<std::size_t>(count) * width;
      staging_->packed.resize(part * static_cast<std::size_t>(size()));
      for (std::size_t rank = 0; rank < static_cast<std::size_t>(size()); ++rank) {
        std::memcpy(staging_->packed.data() + rank * part, from + rank * stride + offset, part);
      }
      scatter_chunk(staging_->packed.data(), to + offset, count, mpi_type(send.type), op);
    }
    done += count;
  }
}

void MpiCommunicator::gather_chunk(const ConstBuffer& send, const Buffer& receive, std::int64_t offset,
                                   int count) {
  const std::size_t width = element_size(send.type);
  const MPI_Datatype type = mpi_type(send.type);
  const auto* from = static_cast<const std::byte*>(send.data) + static_cast<std::size_t>(offset) * width;
  auto* to = static_cast<std::byte*>(receive.data) + static_cast<std::size_t>(offset) * width;
  if (count == send.count) {
    // A rank's own block may already be in place; MPI forbids overlapping buffers otherwise.
    const bool in_place =
        from == to + static_cast<std::size_t>(rank()) * static_cast<std::size_t>(count) * width;
    run("MPI_Iallgather", [&](MPI_Request* request) {
      return MPI_Iallgather(in_place ? MPI_IN_PLACE : from, count, type, to, count, type, comm_, request);
    });
    return;
  }
  // The blocks of the receivers lie send.count elements apart although fewer travel: a type with that extent.
  MPI_Datatype run_of = MPI_DATATYPE_NULL, spaced = MPI_DATATYPE_NULL;
  mpi_check(MPI_Type_contiguous(count, type, &run_of), "MPI_Type_contiguous");
  mpi_check(MPI_Type_create_resized(
                run_of, 0, static_cast<MPI_Aint>(send.count) * static_cast<MPI_Aint>(width), &spaced),
            "MPI_Type_create_resized");
  mpi_check(MPI_Type_commit(&spaced), "MPI_Type_commit");
  staging_->packed.assign(from, from + static_cast<std::size_t>(count) * width);
  run("MPI_Iallgather", [&](MPI_Request* request) {
    return MPI_Iallgather(staging_->packed.data(), count, type, to, 1, spaced, comm_, request);
  });
  mpi_check(MPI_Type_free(&spaced), "MPI_Type_free");
  mpi_check(MPI_Type_free(&run_of), "MPI_Type_free");
}

void MpiCommunicator::all_gather(ConstBuffer send, Buffer receive) {
  check_blocks("all_gather", send, receive);
  if (size() == 1) {
    if (send.count > 0 && send.data != receive.data) {
      std::memmove(receive.data, send.data, static_cast<std::size_t>(send.count) * element_size(send.type));
    }
    return;
  }
  for (std::int64_t done = 0; done < send.count;) {
    const int count = chunk(send.count, done);
    gather_chunk(send, receive, done, count);
    done += count;
  }
}

void MpiCommunicator::barrier() {
  if (size() == 1) return;
  run("MPI_Ibarrier", [&](MPI_Request* request) { return MPI_Ibarrier(comm_, request); });
}

std::unique_ptr<Communicator> MpiCommunicator::duplicate() {
  MPI_Comm copy = MPI_COMM_NULL;
  run("MPI_Comm_idup", [&](MPI_Request* request) { return MPI_Comm_idup(comm_, &copy, request); });
  return std::make_unique<MpiCommunicator>(copy, rank(), size(), shared_);
}

/// MPI_COMM_NULL on ranks outside the group.
MPI_Comm make_group(const MpiSession& session, const MpiCommunicatorOptions& options) {
  MPI_Comm group = MPI_COMM_NULL;
  if (options.group == RankGroup::kWorld) {
    mpi_check(MPI_Comm_dup(MPI_COMM_WORLD, &group), "MPI_Comm_dup");
    return group;
  }
  const int part = options.ranks_per_node > 0 ? options.ranks_per_node : session.local_size();
  const int node = session.local_rank() / part, place = session.local_rank() % part;
  if (options.group == RankGroup::kNodeHeads) {
    mpi_check(MPI_Comm_split(MPI_COMM_WORLD, place == 0 ? 0 : MPI_UNDEFINED, session.rank(), &group),
              "MPI_Comm_split");
    return group;
  }
  MPI_Comm machine = MPI_COMM_NULL;
  mpi_check(
      MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, session.rank(), MPI_INFO_NULL, &machine),
      "MPI_Comm_split_type");
  mpi_check(MPI_Comm_split(machine, node, session.rank(), &group), "MPI_Comm_split");
  mpi_check(MPI_Comm_free(&machine), "MPI_Comm_free");
  return group;
}

}  // namespace

std::unique_ptr<Communicator> make_mpi_communicator(const MpiSession& session,
                                                    const MpiCommunicatorOptions& options) {
  require(options.max_count >= 1 && options.max_count < std::int64_t{1} << 31,
          "the longest MPI call must move 1 to 2^31 - 1 elements, not {}", options.max_count);
  const MPI_Comm comm = make_group(session, options);
  if (comm == MPI_COMM_NULL) return nullptr;
  mpi_check(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  int rank = 0, size = 1;
  mpi_check(MPI_Comm_rank(comm, &rank), "MPI_Comm_rank");
  mpi_check(MPI_Comm_size(comm, &size), "MPI_Comm_size");
  return std::make_unique<MpiCommunicator>(comm, rank, size, Shared{session.abort_signal(), options});
}

}  // namespace ranktune
