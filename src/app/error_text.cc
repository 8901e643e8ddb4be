#include "app/error_text.h"

#include <c10/util/Exception.h>
#include <fmt/core.h>

#include <new>

#include "base/error.h"

namespace ranktune {
namespace {

bool is_want_of_memory(const std::exception& error) {
  return dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
         dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
         std::string_view(error.what()).find("DefaultCPUAllocator: can't allocate memory") !=
             std::string_view::npos;
}

}  // namespace

std::string error_text(const std::exception& error) {
  if (dynamic_cast<const Error*>(&error) != nullptr) return error.what();
  const auto* from_torch = dynamic_cast<const c10::Error*>(&error);
  std::string text = from_torch != nullptr ? from_torch->what_without_backtrace() : error.what();
  text = text.substr(0, text.find('\n'));
  return is_want_of_memory(error) ? fmt::format("out of memory ({})", text) : text;
}

std::string training_error_text(const std::exception& error) {
  std::string text = error_text(error);
  if (dynamic_cast<const Error*>(&error) == nullptr && is_want_of_memory(error))
    text += "; lower batch.tokens_per_slot, set train.recompute = true, or start fewer ranks on this machine";
  return text;
}

}  // namespace ranktune
