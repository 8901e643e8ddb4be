# shellcheck shell=bash disable=SC2034,SC2154,SC2119,SC2120
# LibTorch: the PyPI wheel unpacked into .deps/libtorch, or a link there to one that the machine has.
lock=$project/launch/lib/libtorch.lock

have_cuda() { # a CUDA 13 compiler
  local nvcc
  nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
  [[ -x $nvcc ]] && "$nvcc" --version | grep -q 'release 13'
}

loader_knows() { # LIBRARY
  PATH=$PATH:/usr/sbin:/sbin ldconfig -p | grep -F "$1" >/dev/null || compgen -G "/usr/local/cuda/lib64/$1*" >/dev/null
}

libtorch_requirements() { # the lines for pip on this machine; with the argument "all", on any machine
  local when requirement cuda=0
  if have_cuda; then cuda=1; fi
  while read -r when requirement; do
    if [[ $when == "#"* ]]; then continue; fi
    if [[ $when == always || ${1:-} == all ]] || { ((cuda)) && ! loader_knows "$when"; }; then echo "$requirement"; fi
  done <"$lock"
}

# pip VERB OPTIONS... for Linux wheels of the pinned kind, whatever Python runs it; hashes are always checked
pip_pinned() {
  local verb=$1 platform platforms=()
  shift
  for platform in 2_28 2_27 2_25 2_18 2_17; do platforms+=(--platform "manylinux_${platform}_x86_64"); done
  TMPDIR=$deps/tmp PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore python3 -m pip "$verb" --quiet --no-deps --require-hashes --only-binary=:all: \
    --python-version 3.11 --implementation cp --abi cp311 --abi none "${platforms[@]}" --platform manylinux2014_x86_64 "$@"
}

torch_root() { # DIR: a LibTorch, its share/cmake or share/cmake/Torch folder -> the folder that holds lib/libtorch_cpu.so
  local dir
  for dir in "$1" "$1/../.." "$1/../../.." "$1/torch"; do
    if [[ -e $dir/lib/libtorch_cpu.so ]]; then realpath "$dir"; return; fi
  done
  die "no LibTorch in $1: give the folder that holds lib/libtorch_cpu.so, or Python's answer to
      python3 -c 'import torch; print(torch.utils.cmake_prefix_path)'"
}

link_libtorch() { # DIR
  local root
  root=$(torch_root "$1") # exits where there is none
  mkdir -p "$deps/tmp/link"
  ln -sfn "$root" "$deps/tmp/link/torch"
  replace_folder "$deps/tmp/link" "$deps/libtorch"
  say "LibTorch: using $root"
}

# replace_folder NEW OLD: OLD is whole before and after; a kill in between leaves none, which the next run repairs
replace_folder() {
  if [[ -e $2 ]]; then mv "$2" "$deps/tmp/old.$$"; fi
  mv "$1" "$2"
  rm -rf "$deps/tmp/old.$$"
}

install_libtorch() { # [PIP OPTIONS], such as --no-index --find-links DIR
  local requirements stamp new=$deps/tmp/libtorch
  requirements=$(libtorch_requirements)
  stamp=$deps/libtorch/.requirements
  if [[ -L $deps/libtorch/torch && -e $deps/libtorch/torch/lib/libtorch_cpu.so ]]; then
    say "LibTorch: using $(realpath "$deps/libtorch/torch")"
    return
  fi
  if [[ -r $stamp && $(<"$stamp") == "$requirements" ]]; then
    say "LibTorch: installed in $deps/libtorch"
    return
  fi
  say "LibTorch: installing $(cut -d' ' -f1 <<<"$requirements" | paste -sd' ') into $deps/libtorch"
  rm -rf "$new"
  mkdir -p "$new"
  printf '%s\n' "$requirements" >"$deps/tmp/requirements.txt"
  pip_pinned install --no-compile --target "$new" --requirement "$deps/tmp/requirements.txt" "$@" ||
    die "pip could not install LibTorch. Check the network (or pip's configuration) and about 4 GB of free space in $deps,
      then run this again; or give a LibTorch that the machine has: launch/setup --torch DIR"
  printf '%s\n' "$requirements" >"$new/.requirements"
  replace_folder "$new" "$deps/libtorch"
}
