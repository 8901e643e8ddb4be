#!/usr/bin/env bash
# Lays out the C++ files given, or all of src/ and tests/, with clang-format 14: the layout differs between versions.
#   tools/format.sh [FILE...]            rewrites them
#   tools/format.sh --check [FILE...]    names what would change and exits with 1
set -euo pipefail
cd "$(dirname "$0")/.."
formatter=$(command -v clang-format-14 || command -v clang-format || true)
[[ -n $formatter && $("$formatter" --version) == *" version 14."* ]] ||
  { echo "error: clang-format 14 is needed (Debian, Ubuntu: apt-get install clang-format-14)" >&2; exit 1; }
check=0
if [[ ${1:-} == --check ]]; then check=1; shift; fi
files=("$@")
if ((${#files[@]} == 0)); then mapfile -t files < <(find src tests tools -name '*.h' -o -name '*.cc' -o -name '*.cu'); fi
if ((!check)); then exec "$formatter" -i "${files[@]}"; fi
changed=$("$formatter" --dry-run -ferror-limit=1 "${files[@]}" 2>&1 | sed -nE 's/^([^ :]+):[0-9]+:[0-9]+: .*clang-format-violations.*/\1/p' | sort -u)
if [[ -n $changed ]]; then printf '%s\nrun tools/format.sh\n' "$changed"; exit 1; fi
