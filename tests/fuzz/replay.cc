// Runs a fuzz target where libFuzzer is not: over the files of a corpus, then over seeded mutations of them.
// usage: TARGET [--mutations=N] [--seed=N] FILE_OR_FOLDER...
// The exit code is not 0 after a finding (see fuzz.h); the input is then kept in TARGET.finding.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <exception>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <vector>

#include "base/random.h"
#include "fuzz.h"

namespace {

using namespace ranktune;

constexpr unsigned kMostSeconds = 20;            // for one input
constexpr rlim_t kMostMemory = rlim_t{1} << 29;  // beyond what the program has at its start
constexpr std::size_t kMostBytes = std::size_t{1} << 16;

/// What is being run, for the signal handler.
std::string finding_path;
const std::uint8_t* running = nullptr;
std::size_t running_bytes = 0;

/// Calls nothing but what a signal handler may call.
void keep_finding() {
  const int file = ::open(finding_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file < 0) return;
  const bool kept = ::write(file, running, running_bytes) == static_cast<ssize_t>(running_bytes);
  ::close(file);
  constexpr std::string_view kText = "finding: the input is kept in ";
  for (const std::string_view text : {kText, std::string_view(finding_path), std::string_view("\n")})
    if (kept && ::write(STDERR_FILENO, text.data(), text.size()) < 0) return;
}

void on_signal(int number) {
  keep_finding();
  ::_exit(128 + number);
}

/// On a stack of its own, because a finding may be that the stack is exhausted.
void catch_signals() {
  static std::array<std::byte, std::size_t{1} << 16> stack;
  const stack_t other{.ss_sp = stack.data(), .ss_flags = 0, .ss_size = stack.size()};
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_ONSTACK;
  bool caught = ::sigaltstack(&other, nullptr) == 0;
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM})
    caught = caught && ::sigaction(number, &action, nullptr) == 0;
  require(caught, "cannot catch signals{}", errno_text());
}

/// A small file must not make the program ask for much memory: what goes beyond the limit is a bad_alloc, or
/// an error of the library that asks.
void limit_memory() {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they reserve terabytes
  rlim_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlim_t most = pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + kMostMemory;
  const rlimit limit{most, most};
  if (::setrlimit(RLIMIT_AS, &limit) != 0) fail("cannot limit memory{}", errno_text());
#endif
}

void run(std::string_view input) {
  // A copy of just that size, so that a sanitizer sees reads beyond its end.
  const auto copy = std::make_unique<std::uint8_t[]>(input.size());
  std::copy(input.begin(), input.end(), copy.get());
  running = copy.get();
  running_bytes = input.size();
  ::alarm(kMostSeconds);
  try {
    LLVMFuzzerTestOneInput(copy.get(), input.size());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "an exception that is no ranktune::Error: %s\n", error.what());
    keep_finding();
    std::exit(1);
  }
  ::alarm(0);
}

class Mutator {
 public:
  Mutator(const std::vector<std::string>& pool, std::uint64_t seed) : pool_(pool), random_(seed) {}

  std::string next() {
    std::string text = pick_file();
    for (std::uint64_t i = 0, count = 1 + below(4); i < count; ++i) change(text);
    text.resize(std::min(text.size(), kMostBytes));
    return text;
  }

 private:
  /// 0 .. bound - 1
  std::uint64_t below(std::uint64_t bound) { return random_.bits(drawn_++) % bound; }
  const std::string& pick_file() { return pool_[below(pool_.size())]; }
  std::size_t place(const std::string& text) { return below(text.size() + 1); }
  /// Short stretches more often than long ones.
  std::size_t length(std::size_t most) { return below(std::min(most, std::size_t{1} << below(12)) + 1); }

  std::uint64_t number() {
    constexpr std::array<std::uint64_t, 8> kEdges{
        0, 1, 0x7F, 0x80, 0x7FFFFFFF, 0x80000000, std::numeric_limits<std::int64_t>::max(), 1ull << 63};
    if (below(4) == 0) return random_.bits(drawn_++) >> below(64);
    return kEdges[below(kEdges.size())] - below(3);
  }

  void change(std::string& text) {
    const std::size_t at = place(text), left = text.size() - at;
    switch (below(8)) {
      case 0:
        if (left > 0) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
        break;
      case 1:
        if (left > 0) text[at] = static_cast<char>(below(256));
        break;
      case 2:
        text.erase(at, length(left));
        break;
      case 3:
        text.insert(at, text.substr(at, length(left)));
        break;
      case 4: {
        const std::string& other = pick_file();
        const std::size_t from = place(other);
        text.insert(at, other, from, length(other.size() - from));
        break;
      }
      case 5: {
        const std::uint64_t value = number();
        std::memcpy(text.data() + at, &value, std::min<std::size_t>(left, std::size_t{1} << below(4)));
        break;
      }
      case 6:
        change_decimal(text, at);
        break;
      default:
        text.resize(below(8) == 0 ? at : text.size());
    }
  }

  /// The next run of digits becomes another number.
  void change_decimal(std::string& text, std::size_t at) {
    const std::size_t begin = text.find_first_of("0123456789", at);
    if (begin == text.npos) return;
    const std::size_t end = std::min(text.find_first_not_of("0123456789", begin), text.size());
    constexpr std::array kOthers{"-1",   "1.5",   "1e308", "1e999",
                                 "null", "\"1\"", "[1]",   "99999999999999999999"};
    text.replace(begin, end - begin,
                 below(2) == 0 ? std::to_string(number()) : kOthers[below(kOthers.size())]);
  }

  const std::vector<std::string>& pool_;
  CounterRandom random_;
  std::uint64_t drawn_ = 0;
};

std::vector<std::string> read_corpus(const std::vector<Path>& places) {
  std::vector<Path> files;
  for (const Path& place : places) {
    if (!std::filesystem::is_directory(place)) {
      files.push_back(place);
      continue;
    }
    for (const auto& entry : std::filesystem::directory_iterator(place)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  require(!files.empty(), "no inputs; give files or folders of them");
  std::vector<std::string> corpus;
  for (const Path& file : files) corpus.push_back(read_file(file));
  return corpus;
}

std::uint64_t parse_count(std::string_view text) {
  std::uint64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  require(error == std::errc() && end == text.data() + text.size(), "\"{}\" is not a count", text);
  return count;
}

int replay(const std::vector<std::string_view>& arguments) {
  std::uint64_t mutations = 0, seed = 1;
  std::vector<Path> places;
  for (const std::string_view argument : arguments) {
    if (argument.starts_with("--mutations="))
      mutations = parse_count(argument.substr(argument.find('=') + 1));
    else if (argument.starts_with("--seed="))
      seed = parse_count(argument.substr(argument.find('=') + 1));
    else
      places.emplace_back(argument);
  }
  const std::vector<std::string> corpus = read_corpus(places);
  limit_memory();
  catch_signals();
  run("");
  for (const std::string& input : corpus) run(input);
  Mutator mutator(corpus, seed);
  for (std::uint64_t i = 0; i < mutations; ++i) run(mutator.next());
  std::printf("%zu files and %llu mutations without a finding\n", corpus.size(),
              static_cast<unsigned long long>(mutations));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    finding_path = (std::filesystem::current_path() / Path(argv[0]).filename()).string() + ".finding";
    return replay({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
