#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Every file in configs/ passes --print-config, and what it prints is a configuration that means the same.
set -euo pipefail
. "$(dirname "$0")/common.sh"

shopt -s nullglob
files=("$project"/configs/*.toml)
((${#files[@]} > 0)) || fail "there are no configurations"
for file in "${files[@]}"; do
  "$ranktune" train "$file" --print-config >"$work/printed.toml" || fail "$file"
  "$ranktune" train "$work/printed.toml" --print-config >"$work/again.toml" || fail "what is printed for $file"
  diff <(grep -o '^[^#]*' "$work/printed.toml") <(grep -o '^[^#]*' "$work/again.toml") || fail "$file means something else"
done
echo "${#files[@]} configurations are complete"
