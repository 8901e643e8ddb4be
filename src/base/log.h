#pragma once

#include <fmt/core.h>

#include <string>
#include <utility>

namespace ranktune {

/// Says which process this is in a job of several: later lines of ranks other than 0 carry "[rank R host]",
/// and their info lines are dropped. Without it the process speaks as a single one.
void set_log_rank(int rank, int world_size);

/// Log lines go to stderr, so that stdout stays the program's result. Thread-safe, one write per line.
void log_info_line(const std::string& line);
void log_warning_line(const std::string& line);
void log_error_line(const std::string& line);

template <typename... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_info_line(fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_warning_line(fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  log_error_line(fmt::format(format, std::forward<Args>(args)...));
}

/// This machine's name, as the log and error lines give it.
const std::string& host_name();

}  // namespace ranktune
