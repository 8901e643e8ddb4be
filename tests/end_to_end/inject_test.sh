#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# --inject: each kind of fault strikes the rank that was named, the job ends at once with the right exit code, and starting it
# again gives the undisturbed run's adapter.
set -euo pipefail
. "$(dirname "$0")/common.sh"
make_data
train 2 plain 2>/dev/null

inject() { # NAME FAULT RANKS: trains with the fault; its exit code and log are in $status and $work/NAME.log
  status=0
  train "$3" "$1" --inject "$2" 2>"$work/$1.log" || status=$?
}
expect_end() { # NAME CODES TEXT: how the last job ended
  [[ " $2 " == *" $status "* ]] || { cat "$work/$1.log"; fail "$1: exit code $status, not one of $2"; }
  grep -qE -- "$3" "$work/$1.log" || { cat "$work/$1.log"; fail "$1: no \"$3\" above"; }
  [[ ! -e $work/$1/done.json ]] || fail "$1 says it is done"
}
recovers() { # NAME
  train 2 "$1" 2>/dev/null || fail "$1 did not go on"
  same_adapter plain "$1"
}
inject killed kill:rank=1,step=4,phase=publish 2
expect_end killed "137" "rank 1 .*step 4: --inject kill:rank=1,step=4,phase=publish strikes now"
recovers killed
inject thrown throw:rank=1,step=5 2
expect_end thrown 1 "rank 1 .*error: step 5: an error was asked for"
[[ $(grep -c "error: " "$work/thrown.log") == 1 ]] || { cat "$work/thrown.log"; fail "not one error line"; }
recovers thrown
inject left exit:rank=0,step=5,phase=reduce,code=7 2
expect_end left 7 "strikes now"
inject memory oom:rank=1,step=3 2
expect_end memory 1 "rank 1 .*error: out of memory"
[[ $(grep -c "error: " "$work/memory.log") == 1 ]] || { cat "$work/memory.log"; fail "not one error line"; }

inject nan nan:rank=1,step=3 2
expect_end nan 1 "error: step 3: slot [0-9]+ on rank 1 .*NaN or infinity in a gradient, first of .*guard.non_finite = .stop."
[[ $(grep -c "error: " "$work/nan.log") == 1 ]] || { cat "$work/nan.log"; fail "not one error line"; }
recovers nan

# faults that end nothing
expect_fine() { # NAME TEXT: the last job went on to its end, and said so
  [[ $status == 0 && -e $work/$1/done.json ]] || { cat "$work/$1.log"; fail "$1: exit code $status"; }
  grep -qE -- "$2" "$work/$1.log" || { cat "$work/$1.log"; fail "$1: no \"$2\" above"; }
}
inject unsaved throw:rank=1,step=4,phase=save 2
expect_fine unsaved "step-000004 was not saved, training goes on: rank 1 .*was asked for"
same_adapter plain unsaved

expect_refusal 2 "did you mean \"kill\"?" ranks 2 "$ranktune" train "$work/train.toml" --set "run.dir=$work/new" --inject kil
expect_refusal 2 "there is no rank 2 among 2" ranks 2 "$ranktune" train "$work/train.toml" --set "run.dir=$work/new" \
  --inject kill:rank=2
echo "faults strike as they were asked to"
