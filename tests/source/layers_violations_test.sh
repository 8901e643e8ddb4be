#!/usr/bin/env bash
# tools/check_layers must find each kind of violation, and none in what is allowed.
set -euo pipefail
check=$(realpath "$(dirname "$0")/../../tools/check_layers")
src=$(mktemp -d)
trap 'rm -rf "$src"' EXIT
mkdir "$src"/{low,high}
echo 'ranktune_library(low SOURCES low.cc PACKAGES MPI::MPI_C)' >"$src/low/CMakeLists.txt"
echo 'ranktune_library(high SOURCES high.cc DEPENDS low)' >"$src/high/CMakeLists.txt"

good() {
  printf '#include <mpi.h>\n#include "low/low.h"\n' >"$src/low/low.cc"
  printf '#include <vector>\n' >"$src/low/low.h"
  printf '#include "low/low.h"\n' >"$src/high/high.cc"
}
expect() { # STATUS WHAT: the checker's exit code, and what its output must say
  local status=0 output
  output=$("$check" "$src") || status=$?
  [[ $status == "$1" && $output == *"$2"* ]] || { echo "expected $1 and '$2', got $status and: $output"; exit 1; }
}
good; expect 0 "3 files in 2 folders"
echo '#include "high/high.h"' >>"$src/low/low.h"; touch "$src/high/high.h"; expect 1 'low.h:2: "high/high.h", but low may include only low'
rm "$src/high/high.h"
good; echo '#include "low.h"' >>"$src/low/low.cc"; expect 1 'low.cc:3: "low.h" is no file of src/'
good; echo '#include <mpi.h>' >>"$src/low/low.h"; expect 1 'low.h:2: <mpi.h> in a header'
good; echo '#include <mpi.h>' >>"$src/high/high.cc"; expect 1 'high.cc:2: <mpi.h>, but MPI::MPI_C is not among'
good; echo '#include <torch/types.h>' >>"$src/high/high.cc"; expect 1 'high.cc:2: <torch/types.h>, but the library is not declared with TORCH'
good; echo '#include <torch/torch.h>' >>"$src/high/high.cc"; expect 1 'high.cc:2: <torch/torch.h>, all of LibTorch'
good; touch "$src/low/forgotten.cc"; expect 1 'forgotten.cc:1: not named in'
rm "$src/low/forgotten.cc"
good; echo 'ranktune_library(low SOURCES low.cc DEPENDS high PACKAGES MPI::MPI_C)' >"$src/low/CMakeLists.txt"
expect 1 'the DEPENDS of high, low form a cycle'
