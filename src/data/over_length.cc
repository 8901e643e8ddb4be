#include "data/over_length.h"

#include <fmt/format.h>

#include <functional>
#include <utility>

#include "data/text_checks.h"

namespace ranktune {
namespace {

using Messages = std::vector<Message>;

/// 1 where the conversation begins with a system message.
std::size_t system_count(const Messages& messages) { return messages.front().role == "system" ? 1 : 0; }

std::size_t exchange_count(const Messages& messages) {
  return (messages.size() - system_count(messages)) / 2;
}

/// The system message and exchanges first .. last-1.
Messages exchanges(const Messages& messages, std::size_t first, std::size_t last) {
  const std::size_t begin = system_count(messages);
  Messages part(messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(begin));
  part.insert(part.end(), messages.begin() + static_cast<std::ptrdiff_t>(begin + 2 * first),
              messages.begin() + static_cast<std::ptrdiff_t>(begin + 2 * last));
  return part;
}

/// The largest n in 1 .. most with fits(n), found by halving (fits is taken to be true up to a border); 0 if
/// none is.
std::int64_t largest(std::int64_t most, const std::function<bool(std::int64_t)>& fits) {
  std::int64_t low = 0, high = most;
  while (low < high) {
    const std::int64_t middle = low + (high - low + 1) / 2;
    if (fits(middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

}  // namespace

LengthPolicy::LengthPolicy(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                           std::int64_t max_length, OverLength policy)
    : tokenizer_(tokenizer),
      template_(chat_template),
      max_length_(static_cast<std::size_t>(max_length)),
      policy_(policy) {}

EncodedExample LengthPolicy::encode(const Messages& messages) const {
  return encode_example(tokenizer_, template_, messages);
}

std::optional<EncodedExample> LengthPolicy::encode_fitting(const Messages& messages) const {
  EncodedExample example = encode(messages);
  if (example.ids.size() > max_length_) return std::nullopt;
  return example;
}

FittedRow LengthPolicy::fit(const Messages& messages) const {
  FittedRow result;
  EncodedExample whole = encode(messages);
  const std::size_t length = whole.ids.size();
  if (length <= max_length_) {
    result.rows.push_back(std::move(whole));
    return result;
  }
  result.over_long = true;
  if (policy_ == OverLength::kSplit) split(messages, result);
  if (policy_ == OverLength::kKeepEnd) keep_end(messages, result);
  if (policy_ == OverLength::kTerminate) terminate(messages, result);
  if (result.detail.empty()) result.detail = fmt::format("max_length is {}", max_length_);
  result.detail = fmt::format("has {} tokens; {}", length, result.detail);
  return result;
}

void LengthPolicy::split(const Messages& messages, FittedRow& result) const {
  const std::size_t count = exchange_count(messages);
  std::size_t left_out = 0;
  for (std::size_t first = 0; first < count;) {
    std::optional<EncodedExample> fitting;
    std::size_t last = first;
    while (last < count) {
      auto longer = encode_fitting(exchanges(messages, first, last + 1));
      if (!longer) break;
      fitting = std::move(longer);
      ++last;
    }
    if (fitting) {
      result.rows.push_back(std::move(*fitting));
      first = last;
    } else {
      ++left_out;
      ++first;
    }
  }
  result.lost_exchanges = static_cast<std::int64_t>(left_out);
  result.detail = fmt::format("{} exchanges became {} rows, {} too long ones left out", count,
                              result.rows.size(), left_out);
}

void LengthPolicy::keep_end(const Messages& messages, FittedRow& result) const {
  const auto count = static_cast<std::int64_t>(exchange_count(messages));
  const auto last_turns = [&](std::int64_t n) {
    return exchanges(messages, static_cast<std::size_t>(count - n), static_cast<std::size_t>(count));
  };
  const std::int64_t kept =
      largest(count - 1, [&](std::int64_t n) { return encode_fitting(last_turns(n)).has_value(); });
  if (kept > 0) {
    result.rows.push_back(encode(last_turns(kept)));
    result.lost_exchanges = count - kept;
    result.detail = fmt::format("the first {} of {} exchanges went", count - kept, count);
    return;
  }
  Messages shortened = last_turns(1);
  std::string& prompt = shortened[shortened.size() - 2].content;
  const std::string original = prompt;
  const std::int64_t characters = count_code_points(original);
  const auto keep = [&](std::int64_t n) {
    prompt = original.substr(code_point_offset(original, characters - n));
    return encode_fitting(shortened);
  };
  const std::int64_t fitting = largest(characters, [&](std::int64_t n) { return keep(n).has_value(); });
  auto row = fitting > 0 ? keep(fitting) : std::nullopt;
  if (!row || is_blank_text(prompt)) {
    result.detail = fmt::format("its last answer leaves no room for a prompt within {}", max_length_);
    return;
  }
  result.rows.push_back(std::move(*row));
  result.lost_exchanges = count - 1;
  result.detail = fmt::format("{} of {} exchanges and {} of the prompt's {} characters went", count - 1,
                              count, characters - fitting, characters);
}

void LengthPolicy::terminate(const Messages& messages, FittedRow& result) const {
  const auto count = static_cast<std::int64_t>(exchange_count(messages));
  const auto first_turns = [&](std::int64_t n) {
    return exchanges(messages, 0, static_cast<std::size_t>(n));
  };
  const std::int64_t whole =
      largest(count - 1, [&](std::int64_t n) { return encode_fitting(first_turns(n)).has_value(); });
  Messages shortened = first_turns(whole + 1);
  std::string& answer = shortened.back().content;
  const std::string original = answer;
  const std::int64_t characters = count_code_points(original);
  const auto keep = [&](std::int64_t n) {
    answer = original.substr(0, code_point_offset(original, n));
    return encode_fitting(shortened);
  };
  const std::int64_t fitting = largest(characters, [&](std::int64_t n) { return keep(n).has_value(); });
  auto row = fitting > 0 ? keep(fitting) : std::nullopt;
  if (row && !is_blank_text(answer)) {
    result.rows.push_back(std::move(*row));
    result.lost_exchanges = count - whole - 1;
    result.detail = fmt::format("answer {} of {} was cut from {} to {} characters and closed", whole + 1,
                                count, characters, fitting);
  } else if (whole > 0) {
    result.rows.push_back(encode(first_turns(whole)));
    result.lost_exchanges = count - whole;
    result.detail = fmt::format("the last {} of {} exchanges went", count - whole, count);
  } else {
    result.detail = fmt::format("its first prompt leaves no room for an answer within {}", max_length_);
  }
}

}  // namespace ranktune
