#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# What the program says of itself: versions, help, and the completion script as bash really uses it.
set -euo pipefail
. "$(dirname "$0")/common.sh"
shows() { grep -qE -- "$2" <<<"$1" || fail "no \"$2\" in: $1"; } # TEXT PATTERN

# the versions of what is loaded, as other tools of this machine know them
version=$("$ranktune" --version)
shows "$version" '^ranktune [0-9]+\.[0-9]+\.[0-9]+$'
shows "$version" "^  MPI +Open MPI v$(mpirun --version | sed -nE '1s/.* ([0-9.]+[a-z0-9]*)$/\1/p')$"
shows "$version" '^  LibTorch +2\.[0-9]+\.[0-9]+'
shows "$version" '^  GPU +(not compiled in|CUDA runtime [0-9]+\.[0-9]+, NCCL 2\.[0-9]+\.[0-9]+); [0-9]+ visible$'
shows "$version" "^  PCRE2 +10\.[0-9]+"
shows "$version" "^  HDF5 +1\.[0-9]+\.[0-9]+$"
for name in utf8proc xxHash simdjson toml++ CLI11 nlohmann/json fmt spdlog; do shows "$version" "^  ${name/++/\\+\\+} +[0-9]+\.[0-9]+\.[0-9]+"; done
for package in hdf5:HDF5 simdjson:simdjson spdlog:spdlog libxxhash:xxHash; do
  if found=$(pkg-config --modversion "${package%:*}" 2>/dev/null); then shows "$version" "^  ${package#*:} +${found%%-*}"; fi
done

for command in "" prep train generate chat export import inspect tokenize verify checkpoint completion \
  "checkpoint list" "checkpoint verify" "checkpoint diff" "checkpoint prune" "checkpoint repair"; do
  help=$("$ranktune" $command --help) || fail "no help of $command"
  [[ -z $command ]] || shows "$help" 'Examples?:'
done
shows "$("$ranktune" --help)" '75 interrupted with a checkpoint'
expect_refusal 2 "{bash}" "$ranktune" completion tcsh

mkdir "$work/folder"
touch "$work/folder/data.h5"
python3 "$(dirname "$0")/complete.py" "$ranktune" "$work/folder" || fail "completion"
echo "all said as it should be"
