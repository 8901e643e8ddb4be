#include "comm/collectives.h"

#include <algorithm>
#include <exception>

#include "base/error.h"

namespace ranktune {

void broadcast_bytes(Communicator& communicator, std::string& bytes, int root) {
  bytes.resize(
      static_cast<std::size_t>(broadcast_value(communicator, static_cast<std::int64_t>(bytes.size()), root)));
  communicator.broadcast(buffer_of(std::span<char>(bytes)), root);
}

std::vector<std::string> all_gather_strings(Communicator& communicator, std::string_view text) {
  const std::vector<std::int64_t> sizes =
      all_gather_value(communicator, static_cast<std::int64_t>(text.size()));
  // Blocks of one collective are equal, so all texts travel padded to the longest.
  const auto longest = static_cast<std::size_t>(*std::max_element(sizes.begin(), sizes.end()));
  std::string padded(text);
  padded.resize(longest);
  std::string all(longest * sizes.size(), '\0');
  communicator.all_gather(const_buffer_of(std::span<const char>(padded)), buffer_of(std::span<char>(all)));
  std::vector<std::string> texts;
  texts.reserve(sizes.size());
  for (std::size_t rank = 0; rank < sizes.size(); ++rank) {
    texts.push_back(all.substr(rank * longest, static_cast<std::size_t>(sizes[rank])));
  }
  return texts;
}

void together(Communicator& communicator, const std::function<void()>& action) {
  constexpr std::int32_t kFine = -1;
  std::int32_t kind = kFine;
  std::string message;
  try {
    action();
  } catch (const Error& error) {
    kind = static_cast<std::int32_t>(error.kind());
    message = error.what();
  } catch (const std::exception& error) {
    kind = static_cast<std::int32_t>(ErrorKind::kInput);
    message = error.what();
  }
  const std::vector<std::int32_t> kinds = all_gather_value(communicator, kind);
  const auto failed =
      std::find_if(kinds.begin(), kinds.end(), [](std::int32_t each) { return each != kFine; });
  if (failed == kinds.end()) return;
  broadcast_bytes(communicator, message, static_cast<int>(failed - kinds.begin()));
  throw AgreedError(message, static_cast<ErrorKind>(*failed));
}

}  // namespace ranktune
