#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Two lives of one run: an owner that is stopped for longer than its lease lasts, in the very moment of publishing a checkpoint, is
# replaced, and when it goes on it changes nothing and ends with exit code 76. An owner that lives is not replaced. A killed one is,
# at once.
set -euo pipefail
. "$(dirname "$0")/common.sh"
trap 'pkill -KILL -f "run.dir=$work/" || true; rm -rf "$work"' EXIT # stopped ranks would stay for ever
make_data
train 2 plain 2>/dev/null
rank_zero() { sed -nE 's/.*"pid": ([0-9]+).*/\1/p' "$work/$1/owner/attempt-$2.json"; } # NAME ATTEMPT: its process

# An owner that lives, waiting for its other rank, and a second start beside it.
train 2 busy --set comm.timeout=600 --inject stop:rank=1,step=3 2>"$work/busy.log" &
busy=$!
# Stopped with a whole checkpoint that has no name yet.
train 2 fenced --set comm.timeout=600 --inject stop:rank=0,step=4,phase=publish 2>"$work/fenced.log" &
fenced=$!
until_true 120 "the stop of rank 0" stopped_rank fenced >/dev/null
old=$(rank_zero fenced 000001)
[[ $(stopped_rank fenced) == "$old" && -e $work/fenced/checkpoints/.step-000004.tmp-1/manifest.json ]] ||
  fail "not rank 0 stands in the middle of publishing"

until_true 120 "the stop of rank 1" stopped_rank busy >/dev/null
"$ranktune" checkpoint prune "$work/busy" --keep 1 2>"$work/prune.log" &
prune=$!
status=0
train 2 busy 2>"$work/second.log" || status=$?
grep -qE "error: run.dir $work/busy is in use by attempt 1 of this run \(rank 0 on host $(hostname), process $(rank_zero busy 000001)," \
  "$work/second.log" && [[ $status == 1 && $(grep -c "error: " "$work/second.log") == 1 ]] ||
  { cat "$work/second.log"; fail "the second start of a living run (exit code $status)"; }

status=0
wait "$prune" || status=$?
if [[ $status != 1 ]] || ! grep -q "error: run.dir $work/busy is in use by attempt 1 of this run" "$work/prune.log"; then
  cat "$work/prune.log"
  fail "pruning under a living owner (exit code $status)"
fi

status=0
train 2 fenced 2>"$work/successor.log" || { cat "$work/successor.log"; fail "the successor of a stopped run"; }
grep -q "is in use by attempt 1 of this run" "$work/successor.log" || fail "the successor waited for nobody"
same_adapter plain fenced
contents() { (cd "$work/fenced" && find . -type f -exec sha256sum {} + -o -type d -print | sort; find . -type f -printf '%P %T@\n' | sort); }
contents >"$work/before"
kill -CONT "$old"
wait "$fenced" || status=$?
contents >"$work/after"
[[ $status == 76 ]] || { cat "$work/fenced.log"; fail "exit code $status, not 76"; }
[[ $(grep -c "error: .*attempt 2 of this run (.*) has taken over; attempt 1 of process $old writes nothing more" "$work/fenced.log") == 1 &&
  $(grep -c "error: " "$work/fenced.log") == 1 ]] || { cat "$work/fenced.log"; fail "not one clear line"; }
cmp "$work/before" "$work/after" || { diff "$work/before" "$work/after"; fail "the old life changed the folder"; }

kill -CONT "$(stopped_rank busy)"
wait "$busy" || { cat "$work/busy.log"; fail "the first owner"; }
same_adapter plain busy

# Killed, launcher and all, and started again.
train 2 killed --inject stall:rank=1,step=5 2>/dev/null &
until_true 120 "a checkpoint" test -e "$work/killed/checkpoints/step-000004/manifest.json"
pkill -KILL -f "run.dir=$work/killed"
wait $! || true
start=$SECONDS
train 2 killed 2>"$work/again.log" || { cat "$work/again.log"; fail "the restart"; }
if grep -q "is in use by" "$work/again.log" && ((SECONDS - start >= 18)); then fail "the restart waited for a dead owner"; fi
same_adapter plain killed
[[ $(cd "$work/killed/owner" && ls) == attempt-000002.ended.json ]] || fail "owner/ holds $(ls "$work/killed/owner")"
echo "one owner at a time"
