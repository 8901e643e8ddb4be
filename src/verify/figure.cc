#include "verify/figure.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <exception>

namespace ranktune {

std::string figure_line(const Figure& figure) {
  const std::string error = std::isnan(figure.error) ? "-" : fmt::format("{:.2g}", figure.error);
  const std::string limit = figure.tolerance == 0 ? "equal" : fmt::format("<= {:.2g}", figure.tolerance);
  std::string line = fmt::format("{:<28} {:<36} {:>9}  {:<9} {}", figure.subject, figure.what, error, limit,
                                 figure.passed() ? "pass" : "FAIL");
  if (!figure.note.empty()) line += fmt::format("  ({})", figure.note);
  return line;
}

void Findings::add(Figure figure) {
  figures_.push_back(std::move(figure));
  if (on_figure_) on_figure_(figures_.back());
}

void Findings::guard(const std::string& subject, const std::string& what, const std::function<void()>& part) {
  try {
    part();
  } catch (const std::exception& problem) {
    add_failure(subject, what, problem.what());
  }
}

std::size_t Findings::failed() const {
  return static_cast<std::size_t>(
      std::count_if(figures_.begin(), figures_.end(), [](const Figure& f) { return !f.passed(); }));
}

void Worst::add(double error, const std::string& where) {
  if (std::isnan(error)) error = std::numeric_limits<double>::infinity();
  if (error < error_ || (error == error_ && !where_.empty())) return;
  error_ = error;
  where_ = where;
}

void Differences::add(bool equal, const std::function<std::string()>& where) {
  ++compared_;
  if (equal) return;
  if (different_++ == 0) first_ = where();
}

Figure Differences::figure(const std::string& subject, const std::string& what) const {
  return {subject, fmt::format("{} of {}", what, compared_), static_cast<double>(different_), 0,
          different_ == 0 ? "" : fmt::format("first: {}", first_)};
}

}  // namespace ranktune
