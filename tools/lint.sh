#!/usr/bin/env bash
# clang-tidy (.clang-tidy) over the .cc files given, or all of ours that the build knows.
#   tools/lint.sh [-p BUILD] [FILE...]     BUILD: a configured build folder (default: build)
set -euo pipefail
build=build
if [[ ${1:-} == -p ]]; then build=$(realpath "$2"); shift 2; fi
cd "$(dirname "$0")/.."
[[ -r $build/compile_commands.json ]] || { echo "error: no $build/compile_commands.json: run launch/setup" >&2; exit 1; }
command -v clang-tidy >/dev/null || { echo "error: no clang-tidy (apt-get install clang-tidy)" >&2; exit 1; }

# clang reads neither GCC's precompiled headers nor its flag for them: a copy of the commands goes without.
commands=$(mktemp -d)
trap 'rm -rf "$commands"' EXIT
sed -E 's/ -Winvalid-pch| -include [^ ]*cmake_pch\.hxx| -fpch-preprocess| -x c\+\+-header//g' "$build/compile_commands.json" \
  >"$commands/compile_commands.json"
files=("$@")
if ((${#files[@]} == 0)); then
  mapfile -t files < <(sed -nE 's/^ *"file": "(.*\/(src|tests)\/[^"]*\.cc)".*/\1/p' "$build/compile_commands.json" | sort -u)
fi
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" clang-tidy --quiet -p "$commands"
