#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# launch/setup --bundle makes a folder from which --offline sets up a machine without network and root; and what calls
# launch/setup after that (launch/quickstart, tests/run) goes on with it and asks for no packages.
set -euo pipefail
. "$(dirname "$0")/common.sh"
there="$work/another machine"
mkdir -p "$work/maker" "$there" "$work/no"
cp -r "$project/launch" "$work/maker"
cp -r "$project/launch" "$there"
"$work/maker/launch/setup" --bundle "$work/bundle" --without-libtorch >"$work/log" 2>&1 || { cat "$work/log"; fail "no bundle"; }
(($(du -sk "$work/bundle" | cut -f1) < 64 * 1024)) || fail "a bundle of $(du -sh "$work/bundle")"

for program in apt-get dpkg-query sudo pip pip3; do
  printf '#!/bin/sh\necho "%s was called" >>"%s"\nexit 1\n' "$program" "$work/called" >"$work/no/$program"
done
chmod +x "$work/no/"*
setup() { PATH=$work/no:$PATH "$there/launch/setup" "$@" --no-build >"$work/log" 2>&1 || { cat "$work/log"; fail "setup $*"; }; }
setup --offline "$work/bundle" --torch "$project/.deps/libtorch/torch"
setup
grep -q "libraries: those of a bundle" "$work/log" || { cat "$work/log"; fail "it does not know the libraries it was set up with"; }
[[ ! -e $work/called ]] || { cat "$work/called"; fail "something was to be installed"; }
(
  # shellcheck source=/dev/null
  . "$there/.deps/environment"
  [[ $(command -v mpirun) == "$there/.deps/sysroot/usr/bin/mpirun" ]] || fail "mpirun is $(command -v mpirun)"
  [[ $LD_LIBRARY_PATH == "$there/.deps/sysroot/"* ]] || fail "libraries are looked for in $LD_LIBRARY_PATH"
)
# Open MPI itself splits its options at spaces.
mv "$there" "$work/another"
there=$work/another
setup --offline "$work/bundle"
# shellcheck source=/dev/null disable=SC2016
started=$(. "$there/.deps/environment" && mpirun -n 2 --oversubscribe sh -c 'readlink -f "$(command -v mpirun)"')
[[ $(wc -l <<<"$started") == 2 && $(sort -u <<<"$started") == "$there/.deps/sysroot/"* ]] || fail "the bundle's mpirun started: $started"
echo "set up without network"
