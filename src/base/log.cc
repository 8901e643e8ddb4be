#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <memory>

namespace ranktune {
namespace {

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
    auto made = std::make_shared<spdlog::logger>("ranktune", sink);
    made->set_pattern("%^%v%$");
    made->flush_on(spdlog::level::trace);
    return made;
  }();
  return *instance;
}

std::string& prefix() {
  static std::string text = "ranktune: ";
  return text;
}

}  // namespace

void set_log_rank(int rank, int world_size) {
  prefix() = world_size > 1 ? fmt::format("ranktune[rank {} {}]: ", rank, host_name()) : "ranktune: ";
  logger().set_level(rank == 0 ? spdlog::level::info : spdlog::level::warn);
}

void log_info_line(const std::string& line) { logger().info("{}", line); }
void log_warning_line(const std::string& line) { logger().warn("{}warning: {}", prefix(), line); }
void log_error_line(const std::string& line) { logger().error("{}error: {}", prefix(), line); }

const std::string& host_name() {
  static const std::string name = [] {
    char buffer[256] = {};
    return std::string(gethostname(buffer, sizeof buffer - 1) == 0 ? buffer : "unknown-host");
  }();
  return name;
}

}  // namespace ranktune
