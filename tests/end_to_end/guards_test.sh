#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Steps with NaN or infinity and loss spikes: skip, rewind and stop, on several numbers of ranks, and through a resumption.
# The infinities are real: fp16 at a fixed scale at which some steps overflow. The spikes too: rows of another kind than the rest.
set -euo pipefail
. "$(dirname "$0")/common.sh"
make_data
events() { # NAME: what became of each step, and the rewinds
  python3 -c '
import json, sys
for row in map(json.loads, open(sys.argv[1])):
    if "rewind_for" in row: print("rewind to", row["step"], "from", row["rewind_from"], row["rewind_for"])
    elif "grad_norm" in row: print(row["step"], row.get("skipped_for", "done"))' "$work/$1/metrics.jsonl"
}
skipped() { events "$1" | awk '$2 != "done" && $2 != "to" {print $1}'; } # NAME

# a machine's fault does not come again: after a rewind the run is what it would have been
train 2 plain 2>/dev/null
train 2 transient --set guard.non_finite=rewind --inject nan:rank=1,step=5 2>"$work/transient.log"
grep -q "step 5: slot .* on rank 1 .*NaN or infinity in a gradient, first of .*; back to the last checkpoint (1 of 3" "$work/transient.log" ||
  { cat "$work/transient.log"; fail "no word of the rewind"; }
grep -q "going on after step 4 from" "$work/transient.log" || { cat "$work/transient.log"; fail "it did not go back to step 4"; }
same_adapter plain transient

# a loss that is none, with gradients that are some: back, left out, or the end
said() { grep -Eq "$2" "$work/$1.log" || { cat "$work/$1.log"; fail "$1.log does not say: $2"; }; } # NAME TEXT
no_loss() { # NAME POLICY RANKS RANK
  status=0
  train "$3" "$1" --set "guard.non_finite=$2" --inject "nan-loss:rank=$4,step=5" 2>"$work/$1.log" || status=$?
  said "$1" "step 5.*: slot [0-9]+ on rank $4 \\(host .*\\), rows [0-9, ]+: its loss is -?nan"
}
no_loss loss_back rewind 2 1
[[ $status == 0 ]] || fail "exit code $status"
same_adapter plain loss_back
no_loss loss_left_out skip 3 2
[[ $status == 0 && $(skipped loss_left_out) == 5 ]] || { events loss_left_out; fail "not step 5 alone was left out (exit code $status)"; }
no_loss loss_ends stop 2 0
[[ $status == 1 && $(grep -c "error: " "$work/loss_ends.log") == 1 ]] || { cat "$work/loss_ends.log"; fail "exit code $status"; }
said loss_ends "error: step 5: .*guard.non_finite = \"stop\": look at these rows"

# a scale at which some of the steps overflow, and not the first
half() { # RANKS NAME ARGS...
  train "$1" "$2" --set model.dtype=fp16 --set "loss_scale.initial=$scale" --set "loss_scale.minimum=$scale" --set train.max_steps=10 \
    --set batch.sequences_per_step=3 --set optimizer.lr=1e-3 --set data.validation=[] --set train.validate_every=0 "${@:3}"
}
for exponent in 19 18 17 16 15; do
  scale=$((1 << exponent))
  rm -rf "$work/skip"
  half 1 skip --set guard.non_finite=skip 2>"$work/skip.log"
  count=$(skipped skip | wc -l)
  ((count > 4)) || break
done
((count >= 1)) || { events skip; fail "no step overflows at 2^$exponent, but more than four at twice that"; }
grep -q "changed nothing: slot .* rows .* first of base_model.*loss_scale.minimum" "$work/skip.log" ||
  { cat "$work/skip.log"; fail "the message lacks slot, rows, parameter or reason"; }

# a rewind tries the step again, meets the same and leaves it out: the same end, however many ranks
half 2 rewind --set guard.non_finite=rewind --set guard.max_rewinds=9 2>"$work/rewind.log"
same_adapter skip rewind
[[ $(skipped rewind) == "$(skipped skip)" ]] || fail "other steps were left out after rewinds"
grep -q "back to the last checkpoint (1 of 9, guard.max_rewinds)" "$work/rewind.log" || { cat "$work/rewind.log"; fail "no word of it"; }
[[ $(python3 -c 'import json, sys; print(len(json.load(open(sys.argv[1]))))' "$work/rewind/rewinds.json") == "$count" ]] ||
  fail "rewinds.json does not hold $count rewinds"
# killed after it: what was gone back for is remembered
rm -r "$work"/rewind/checkpoints/step-0000{08,10} "$work/rewind/adapter"
half 3 rewind --set guard.non_finite=rewind --set guard.max_rewinds=9 2>"$work/again.log"
same_adapter skip rewind
! grep -q "back to the last checkpoint" "$work/again.log" || { cat "$work/again.log"; fail "it went back a second time"; }

# the end: all ranks, one message, the step's rows; and on with another policy
status=0
half 2 stop --set guard.non_finite=stop 2>"$work/stop.log" || status=$?
[[ $status == 1 && $(grep -c "error: step .*guard.non_finite = \"stop\": look at these rows" "$work/stop.log") == 1 ]] ||
  { cat "$work/stop.log"; fail "exit code $status"; }
[[ ! -e $work/stop/done.json ]] || fail "it says it is done"
half 2 stop --set guard.non_finite=skip 2>/dev/null
same_adapter skip stop

# spikes: words that come rarely, in rows of their own
python3 - "$work/chats.jsonl" <<'PY'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
for i in (30, 60):
    rows[i]["messages"][1]["content"] = "éèêëàâùûüôöîïç" * 3
open(sys.argv[1], "w").write("".join(json.dumps(row) + "\n" for row in rows))
PY
"$ranktune" prep --model "$work/model" --output "$work/train.h5" --max-length 256 "$work/chats.jsonl" >/dev/null
spiky() { # RANKS NAME ARGS...
  train "$1" "$2" --set train.max_steps=30 --set batch.sequences_per_step=1 --set optimizer.lr=1e-2 --set checkpoint.every=20 \
    --set data.validation=[] --set train.validate_every=0 --set guard.spike_factor=1.35 --set guard.spike_window=8 "${@:3}" 2>"$work/$2.log"
}
spiky 1 spikes --set guard.loss_spike=skip
events spikes | grep "loss_spike" >/dev/null || { tail -n 20 "$work/spikes/metrics.jsonl"; fail "no spike"; }
grep -q "changed nothing: its loss .* times the median of the last 8, most of it in slot 0 on rank 0 .* rows [0-9]*, loss" "$work/spikes.log" ||
  { cat "$work/spikes.log"; fail "the message lacks slot or row"; }
status=0
spiky 2 spike_ends --set guard.loss_spike=stop || status=$?
[[ $status == 1 && $(grep -c "error: " "$work/spike_ends.log") == 1 ]] || { cat "$work/spike_ends.log"; fail "exit code $status"; }
said spike_ends "error: step [0-9]+: its loss .* times the median of the last 8, most of it in slot 0 on rank [01] .* rows [0-9]+, loss .*; guard.loss_spike = \"stop\""
spiky 1 back --set guard.loss_spike=rewind
spiky 2 back2 --set guard.loss_spike=rewind
same_adapter back back2
diff <(events back; figures back) <(events back2; figures back2) || fail "rewinds of 1 and 2 ranks differ"
events back | grep "rewind to .* loss_spike" >/dev/null || fail "no rewind"
[[ $(events back | grep -c " rewind$") -ge 2 ]] || { events back; fail "the spike and the step before it were not left out"; }
# a checkpoint that has a step in it that is to be left out is not gone back to: checkpoints may be written at any step
spiky 2 dense --set guard.loss_spike=rewind --set checkpoint.every=1 --set checkpoint.keep=9
same_adapter back dense
grep -q "checkpoint step-[0-9]* is not used: it has steps in it that a rewind leaves out" "$work/dense.log" ||
  { cat "$work/dense.log"; fail "no word of the checkpoint that is not gone back to"; }
status=0
spiky 1 one --set guard.loss_spike=rewind --set checkpoint.every=1 --set checkpoint.keep=1 || status=$?
[[ $status == 1 ]] && grep -q "error: .*none to go back to; keep more of them (checkpoint.keep)" "$work/one.log" ||
  { cat "$work/one.log"; fail "exit code $status where no checkpoint is old enough"; }
rm -r "$work/back/checkpoints/step-000030" "$work/back/adapter"
spiky 2 back --set guard.loss_spike=rewind
same_adapter back back2
diff <(events back) <(events back2) || fail "after a resumption other steps are left out"
echo "all guards did what they were told"
