#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# The ledger: on 1, 2 and 3 ranks, killed and resumed on another number of them, every row is trained on exactly once an epoch.
set -euo pipefail
. "$(dirname "$0")/common.sh"
make_data
rows=96 steps=28 # 7 rows a step: epochs end inside steps 14 and 28
run() { train "$1" "$2" --set train.max_steps=$steps --set batch.sequences_per_step=7 --set train.validate_every=1000 \
  --set checkpoint.every=5 --set lora.rank=2 "${@:3}"; } # RANKS NAME ARGS...

once_an_epoch() { # NAME: counted here, by the lines alone
  python3 - "$work/$1/consumed.jsonl" $rows $steps <<'PY' || fail "$1: not every row once an epoch"
import collections, json, sys
rows, steps = int(sys.argv[2]), int(sys.argv[3])
lines = [json.loads(line) for line in open(sys.argv[1])]
assert [line["step"] for line in lines] == list(range(1, steps + 1)), "steps are missing or stand twice"
count = collections.Counter(row for line in lines for row in line["rows"])
assert set(count) == set(range(rows)) and set(count.values()) <= {2, 3} and sum(count.values()) == 7 * steps, count
first = collections.Counter(row for line in lines[:13] for row in line["rows"])  # 91 of the first epoch's 96
assert len(first) == 91 and max(first.values()) == 1, first
PY
  "$ranktune" inspect --consumed "$work/$1" >"$work/report" || { cat "$work/report"; fail "inspect --consumed $1"; }
  grep -q "^epoch 0: all $rows rows, each exactly once$" "$work/report" || { cat "$work/report"; fail "epoch 0"; }
  grep -q "^epoch 1: all $rows rows, each exactly once$" "$work/report" || { cat "$work/report"; fail "epoch 1"; }
  grep -q "^epoch 2: 4 of $rows rows so far, each once$" "$work/report" || { cat "$work/report"; fail "epoch 2"; }
}

for n in 1 2 3; do
  run "$n" "ranks$n" 2>/dev/null
  once_an_epoch "ranks$n"
  diff "$work/ranks1/consumed.jsonl" "$work/ranks$n/consumed.jsonl" || fail "the ledgers of 1 and $n ranks differ"
done

# killed twice in the middle, and each time resumed on another number of ranks
ledger_has() { [[ -e $work/killed/consumed.jsonl ]] && (($(wc -l <"$work/killed/consumed.jsonl") >= $1)); } # STEPS
for life in "1 2 05 7" "2 3 20 22"; do
  read -r attempt n step last <<<"$life"
  (run "$n" killed --inject "stall:rank=1,step=$((last + 1)),attempt=$attempt" >/dev/null 2>&1) &
  until_true 120 "a checkpoint" test -e "$work/killed/checkpoints/step-0000$step/manifest.json"
  until_true 120 "steps beyond it, which will be done again" ledger_has "$last"
  pkill -KILL -f "^$ranktune train .*run.dir=$work/killed" || true
  wait || true
  [[ ! -e $work/killed/done.json ]] || fail "it was done before it could be killed"
done
"$ranktune" inspect --consumed "$work/killed" >"$work/report" || { cat "$work/report"; fail "the ledger of a killed run"; }
run 1 killed 2>/dev/null
once_an_epoch killed
diff "$work/ranks1/consumed.jsonl" "$work/killed/consumed.jsonl" || fail "the killed run's ledger differs"
same_adapter ranks1 killed

# a ledger that says otherwise is not believed
refuted() { # TEXT SED-SCRIPT
  local status=0
  mkdir -p "$work/forged"
  cp "$work/ranks1/config.json" "$work/forged/"
  sed "$2" "$work/ranks1/consumed.jsonl" >"$work/forged/consumed.jsonl"
  "$ranktune" inspect --consumed "$work/forged" >"$work/refusal.log" 2>&1 || status=$?
  [[ $status == 1 ]] || { cat "$work/refusal.log"; fail "exit code $status for a ledger that is wrong"; }
  says "$1"
}
refuted "step 6 follows step 4: steps between them are missing" 5d
refuted "step 5 follows step 5: it stands there again" 5p
refuted "came a second time" '3s/"rows":\[[0-9]*,\([0-9]*\)/"rows":[\1,\1/'
expect_refusal 1 "consumed.jsonl" "$ranktune" inspect --consumed "$work/model"
echo "every row once an epoch"
