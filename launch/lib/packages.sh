# shellcheck shell=bash disable=SC2034,SC2154,SC2119,SC2120
# System packages of Debian 12 and Ubuntu 24.04.
compiler_packages=(g++ cmake ninja-build ccache pkg-config python3 python3-pip python3-venv unzip zstd ca-certificates)
library_packages=(libopenmpi-dev openmpi-bin libhdf5-dev libtomlplusplus-dev libcli11-dev nlohmann-json3-dev libsimdjson-dev
  libspdlog-dev libfmt-dev libpcre2-dev libutf8proc-dev libxxhash-dev libzstd-dev libgtest-dev libgmock-dev libbenchmark-dev)
# What tests/run needs besides: a Slurm of its own, the formatter (its version decides the layout), git for nothing but names.
test_packages=(slurmctld slurmd slurm-client munge iproute2 clang-format-14)

missing_packages() { # NAME... -> those that are not installed
  local name
  for name in "$@"; do
    dpkg-query -W -f='${db:Status-Status}\n' "$name" 2>/dev/null | grep -qx installed || echo "$name"
  done
}

install_packages() { # NAME...
  local missing as_root=()
  if ! command -v apt-get >/dev/null; then
    say "packages: no apt-get here; these must be there in this system's own form: $*"
    return
  fi
  mapfile -t missing < <(missing_packages "$@")
  if ((${#missing[@]} == 0)); then
    say "packages: all $# are installed"
    return
  fi
  if ((EUID != 0)); then
    command -v sudo >/dev/null ||
      die "packages are missing and there is no sudo. Ask an administrator for: apt-get install ${missing[*]}"$'\n' \
        "      or set up from a bundle, which needs no root: launch/setup --offline DIR"
    as_root=(sudo)
  fi
  say "packages: installing ${missing[*]}"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive bash -c '
    set -e
    apt-get update -q
    apt-get install -y -q --no-install-recommends "$@"' install "${missing[@]}" >"$deps/apt.log" 2>&1 ||
    die "apt-get failed; the end of $deps/apt.log:"$'\n'"$(tail -n 5 "$deps/apt.log")"$'\n' \
      "      Check the network and the package sources, then run this again."
}
