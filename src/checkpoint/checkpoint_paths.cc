#include "checkpoint/checkpoint_paths.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace ranktune {
namespace {

/// Takes `prefix` off the front of `text`.
bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

/// Takes a decimal number off the front.
template <typename Number>
bool take_number(std::string_view& text, Number& number) {
  if (text.empty() || text.front() < '0' || text.front() > '9') return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

std::string hidden_name(TemporaryName name, std::string_view kind) {
  return fmt::format(".{}.{}-{}", checkpoint_name(name.step), kind, name.attempt);
}

std::optional<TemporaryName> parse_hidden_name(std::string_view text, std::string_view kind) {
  TemporaryName name;
  std::string_view rest = text;
  const bool parsed = take(rest, ".step-") && take_number(rest, name.step) && take(rest, ".") &&
                      take(rest, kind) && take(rest, "-") && take_number(rest, name.attempt) && rest.empty();
  // One number has one name: "+7" or "007" would be somebody else's.
  if (!parsed || hidden_name(name, kind) != text) return std::nullopt;
  return name;
}

}  // namespace

std::string checkpoint_name(std::int64_t step) {
  require(step >= 0, "a checkpoint cannot be of step {}", step);
  return fmt::format("step-{:06}", step);
}

std::optional<std::int64_t> parse_checkpoint_name(std::string_view name) {
  std::int64_t step = 0;
  std::string_view rest = name;
  if (!take(rest, "step-") || !take_number(rest, step) || !rest.empty()) return std::nullopt;
  if (checkpoint_name(step) != name) return std::nullopt;
  return step;
}

std::string temporary_name(TemporaryName name) { return hidden_name(name, "tmp"); }
std::optional<TemporaryName> parse_temporary_name(std::string_view name) {
  return parse_hidden_name(name, "tmp");
}

std::string replaced_name(TemporaryName name) { return hidden_name(name, "old"); }
std::optional<TemporaryName> parse_replaced_name(std::string_view name) {
  return parse_hidden_name(name, "old");
}

std::string bad_name(TemporaryName name) { return hidden_name(name, "bad"); }

std::string optimizer_file_name(OptimizerPart part) {
  return fmt::format("optimizer-{:05}-of-{:05}.safetensors", part.part, part.parts);
}

std::optional<OptimizerPart> parse_optimizer_file_name(std::string_view name) {
  OptimizerPart part;
  std::string_view rest = name;
  const bool parsed = take(rest, "optimizer-") && take_number(rest, part.part) && take(rest, "-of-") &&
                      take_number(rest, part.parts) && rest == ".safetensors";
  if (!parsed || optimizer_file_name(part) != name || part.part >= part.parts) return std::nullopt;
  return part;
}

void require_plain_name(std::string_view name, std::string_view where) {
  const bool plain =
      !name.empty() && name.size() <= 200 && name.front() != '.' &&
      std::ranges::none_of(name, [](char c) { return c == '/' || static_cast<unsigned char>(c) < 0x20; });
  require(plain, "{}: \"{}\" cannot be the name of a file in a checkpoint", where, name);
}

}  // namespace ranktune
