#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace ranktune {

/// One comparison with recorded values.
struct Figure {
  std::string subject;   ///< whose: "qwen2_mha/lora"
  std::string what;      ///< what was compared: "logits"
  double error = 0;      ///< the largest deviation; NaN where nothing could be compared
  double tolerance = 0;  ///< in the unit of `error`; 0: must be equal
  std::string note{};    ///< where the largest deviation lies, or why nothing could be compared; may be ""

  bool passed() const { return error <= tolerance; }  // NaN is not
};

/// "qwen2_mha/lora   logits   3.1e-07   <= 2.0e-04   pass", with the note where there is one.
std::string figure_line(const Figure& figure);

/// The figures found so far.
class Findings {
 public:
  /// `on_figure` sees each figure as it comes.
  explicit Findings(std::function<void(const Figure&)> on_figure = {}) : on_figure_(std::move(on_figure)) {}

  void add(Figure figure);
  /// A figure that failed because it could not be had.
  void add_failure(std::string subject, std::string what, std::string reason) {
    add({std::move(subject), std::move(what), std::numeric_limits<double>::quiet_NaN(), 0,
         std::move(reason)});
  }
  /// Runs `part`; an Error in it becomes a failure under this name.
  void guard(const std::string& subject, const std::string& what, const std::function<void()>& part);

  const std::vector<Figure>& figures() const { return figures_; }
  std::size_t failed() const;

 private:
  std::function<void(const Figure&)> on_figure_;
  std::vector<Figure> figures_;
};

/// The largest of many deviations and where it lies. NaN counts as infinite, so that it cannot hide.
class Worst {
 public:
  void add(double error, const std::string& where);
  double error() const { return error_; }
  const std::string& where() const { return where_; }

 private:
  double error_ = 0;
  std::string where_;
};

/// How many of several things that must be equal differ, and the first that does.
class Differences {
 public:
  /// `where` is called for the first difference only.
  void add(bool equal, const std::function<std::string()>& where);
  std::size_t compared() const { return compared_; }
  /// "WHAT of N": its error is the count.
  Figure figure(const std::string& subject, const std::string& what) const;

 private:
  std::size_t compared_ = 0, different_ = 0;
  std::string first_;
};

}  // namespace ranktune
