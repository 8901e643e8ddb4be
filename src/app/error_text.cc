#include "app/error_text.h"

#include <c10/util/Exception.h>
#include <fmt/core.h>

#include <new>

#include "base/error.h"

namespace ranktune {

std::string error_text(const std::exception& error) {
  if (dynamic_cast<const Error*>(&error) != nullptr) return error.what();
  const auto* from_torch = dynamic_cast<const c10::Error*>(&error);
  std::string text = from_torch != nullptr ? from_torch->what_without_backtrace() : error.what();
  text = text.substr(0, text.find('\n'));
  const bool no_memory = dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
                         dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
                         text.find("DefaultCPUAllocator: can't allocate memory") != text.npos;
  if (!no_memory) return text;
  return fmt::format(
      "out of memory ({}); lower batch.tokens_per_slot, set train.recompute = true, or start fewer ranks on "
      "this machine",
      text);
}

}  // namespace ranktune
