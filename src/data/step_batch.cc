#include "data/step_batch.h"

#include <cstring>
#include <type_traits>

#include "base/error.h"

namespace ranktune {
namespace {

constexpr std::uint64_t kMagic = 0x31'48'43'54'42'4E'4B'52u;  // "RKNBTCH1"

class ByteWriter {
 public:
  template <typename T>
  void value(T x) {
    values(std::span<const T>(&x, 1));
  }
  template <typename T>
  void values(std::span<const T> xs) {
    static_assert(std::is_trivially_copyable_v<T>);
    const auto bytes = std::as_bytes(xs);
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  template <typename T>
  void values(const std::vector<T>& xs) {
    values(std::span<const T>(xs));
  }
  std::vector<std::byte> take() { return std::move(bytes_); }
  void reserve(std::size_t size) { bytes_.reserve(size); }

 private:
  std::vector<std::byte> bytes_;
};

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <typename T>
  T value() {
    return values<T>(1).front();
  }
  template <typename T>
  std::vector<T> values(std::int64_t count) {
    require(count >= 0 && static_cast<std::uint64_t>(count) <= bytes_.size() / sizeof(T),
            "step batch: {} values of {} bytes do not fit in the {} bytes that are left", count, sizeof(T),
            bytes_.size());
    std::vector<T> xs(static_cast<std::size_t>(count));
    const std::size_t size = xs.size() * sizeof(T);
    if (size > 0) std::memcpy(xs.data(), bytes_.data(), size);
    bytes_ = bytes_.subspan(size);
    return xs;
  }
  std::size_t left() const { return bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
};

Slot read_slot(ByteReader& in, std::size_t index) {
  Slot slot;
  const auto tokens = in.value<std::int64_t>();
  const auto examples = in.value<std::int64_t>();
  require(tokens > 0 && examples > 0 && examples <= tokens,
          "step batch: slot {} has {} examples in {} tokens", index, examples, tokens);
  slot.tokens = in.values<std::int32_t>(tokens);
  slot.loss_mask = in.values<std::uint8_t>(tokens);
  slot.boundaries = in.values<std::int32_t>(examples + 1);
  slot.rows = in.values<std::int64_t>(examples);
  bool sound = slot.boundaries.front() == 0 && slot.boundaries.back() == tokens;
  for (std::size_t i = 1; i < slot.boundaries.size(); ++i) {
    sound = sound && slot.boundaries[i - 1] < slot.boundaries[i];
  }
  for (const std::uint8_t mark : slot.loss_mask) sound = sound && mark <= 1;
  for (const std::int64_t row : slot.rows) sound = sound && row >= 0;
  require(sound, "step batch: the boundaries, marks or rows of slot {} are damaged", index);
  return slot;
}

}  // namespace

std::int64_t Slot::supervised_tokens() const {
  std::int64_t count = 0;
  for (const std::uint8_t mark : loss_mask) count += mark;
  for (std::size_t i = 0; i + 1 < boundaries.size(); ++i) {
    count -= loss_mask[static_cast<std::size_t>(boundaries[i])];
  }
  return count;
}

std::int64_t StepBatch::examples() const noexcept {
  std::int64_t count = 0;
  for (const Slot& slot : slots) count += slot.examples();
  return count;
}

std::vector<std::byte> serialise(const StepBatch& batch) {
  ByteWriter out;
  out.reserve(static_cast<std::size_t>(64 + batch.tokens * 5 + batch.examples() * 12) +
              batch.slots.size() * 24);
  out.value(kMagic);
  for (const std::int64_t number : {batch.step, batch.epoch, batch.first_position, batch.supervised_tokens,
                                    batch.tokens, static_cast<std::int64_t>(batch.slots.size())}) {
    out.value(number);
  }
  for (const Slot& slot : batch.slots) {
    out.value(static_cast<std::int64_t>(slot.tokens.size()));
    out.value(slot.examples());
    out.values(slot.tokens);
    out.values(slot.loss_mask);
    out.values(slot.boundaries);
    out.values(slot.rows);
  }
  return out.take();
}

StepBatch deserialise_step_batch(std::span<const std::byte> bytes) {
  ByteReader in(bytes);
  require(in.left() >= 56 && in.value<std::uint64_t>() == kMagic,
          "step batch: {} bytes do not begin like one", bytes.size());
  StepBatch batch;
  batch.step = in.value<std::int64_t>();
  batch.epoch = in.value<std::int64_t>();
  batch.first_position = in.value<std::int64_t>();
  batch.supervised_tokens = in.value<std::int64_t>();
  batch.tokens = in.value<std::int64_t>();
  const auto slots = in.value<std::int64_t>();
  require(batch.step >= 0 && batch.epoch >= 0 && batch.first_position >= 0 && slots >= 0,
          "step batch: a negative step, epoch, position or number of slots");
  std::int64_t supervised = 0, tokens = 0;
  for (std::int64_t i = 0; i < slots; ++i) {
    batch.slots.push_back(read_slot(in, static_cast<std::size_t>(i)));
    supervised += batch.slots.back().supervised_tokens();
    tokens += static_cast<std::int64_t>(batch.slots.back().tokens.size());
  }
  require(in.left() == 0, "step batch: {} bytes too many", in.left());
  require(supervised == batch.supervised_tokens && tokens == batch.tokens,
          "step batch: it claims {} tokens and {} targets, its slots hold {} and {}", batch.tokens,
          batch.supervised_tokens, tokens, supervised);
  return batch;
}

}  // namespace ranktune
