# shellcheck shell=bash disable=SC2034,SC2154,SC2119,SC2120
# Sourced by this project's scripts: where things lie, and how they speak.
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
deps=$project/.deps # everything that set-up puts on the machine besides system packages
build=$project/build

say() { printf '==> %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
usage() { sed -n '2,/^[^#]/{/shellcheck/d;s/^# \{0,1\}//p}' "$0"; } # the comment at the top of the calling script
run() { printf '+ %s\n' "${*@Q}"; "$@"; }

# Where set-up came from a bundle, programs and compilers find its libraries by this file.
load_environment() {
  # shellcheck source=/dev/null
  if [[ -r $deps/environment ]]; then . "$deps/environment"; fi
}

cores() { env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc; } # nproc alone answers 1 where OMP_NUM_THREADS is 1

# build_jobs: compiling against LibTorch takes about 2 GiB a job
build_jobs() {
  local jobs gib
  jobs=$(cores)
  gib=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)
  echo $((gib / 2 < 1 ? 1 : gib / 2 < jobs ? gib / 2 : jobs))
}
