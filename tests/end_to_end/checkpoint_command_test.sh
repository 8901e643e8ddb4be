#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# `ranktune checkpoint`: what list, verify, diff, prune and repair say and do on the checkpoints of real runs.
set -euo pipefail
. "$(dirname "$0")/common.sh"
make_data
train 2 run --set checkpoint.keep=10 >/dev/null 2>&1
place=$work/run/checkpoints
checkpoint() { "$ranktune" checkpoint "$@"; }
names() { (cd "$place" && find . -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | xargs); }
exits() { # CODE TEXT COMMAND...: the command's exit code, and a text in what it prints
  local status=0
  "${@:3}" >"$work/refusal.log" 2>&1 || status=$?
  [[ $status == "$1" ]] || { cat "$work/refusal.log"; fail "exit code $status, not $1: ${*:3}"; }
  says "$2"
}

[[ $(checkpoint list --json "$work/run" | python3 -c '
import json, sys
print(*[(c["step"], c["valid"], c["bytes"] > 1000, c["validation_loss"] is not None) for c in json.load(sys.stdin)])') == \
  "(2, True, True, False) (4, True, True, True) (6, True, True, False) (8, True, True, True)" ]] || fail "list --json"
exits 0 "step-000008" checkpoint list "$place"
says "valid"
exits 0 "step-000006: valid" checkpoint verify "$work/run"

# the same training on another number of ranks differs in nothing but its folder's name
train 1 one --set checkpoint.keep=10 >/dev/null 2>&1
exits 1 "trainer.json: config.run.dir: " checkpoint diff "$work/one" "$work/run"
says "1 differences;"
says "the largest difference of two elements is 0"
exits 0 "the same: " checkpoint diff "$place/step-000004" "$place/step-000004/"
exits 1 "optimizer: updates: 4 -> 6" checkpoint diff "$place/step-000004" "$place/step-000006"
says "lora_B.weight: "

# a bit flip and a truncation in each file of the newest: named, skipped by a resume's rule, found by list
for file in "$place"/step-000008/*; do
  cp "$file" "$work/whole"
  python3 - "$file" <<'PY'
import sys
content = bytearray(open(sys.argv[1], "rb").read())
content[len(content) // 3] ^= 4
open(sys.argv[1], "wb").write(content)
PY
  exits 1 "$file" checkpoint verify "$place/step-000008"
  truncate -s -9 "$file"
  exits 1 "$file" checkpoint verify "$work/run"
  says "step-000006: valid"
  cp "$work/whole" "$file"
done
exits 0 "step-000008: valid" checkpoint verify "$work/run"

# repair: the damaged newest is set aside, and the run goes on from the one before without a word of it
truncate -s -1 "$place/step-000008/adapter_model.safetensors"
mkdir "$place/.step-000009.tmp-0"
exits 0 "step-000008 is damaged: it would be set aside" checkpoint repair --dry-run --force "$work/run"
exits 1 "a run may be writing it" checkpoint repair "$work/run"
exits 0 "step-000008 is damaged: it is set aside as .step-000008.bad-1" checkpoint repair --force "$work/run"
[[ $(names) == ".step-000008.bad-1 step-000002 step-000004 step-000006" ]] || fail "after the repair there are $(names)"
exits 0 "nothing to repair" checkpoint repair "$work/run"
train 1 run --set checkpoint.keep=10 >"$work/resume.log" 2>&1
grep -q "resuming after step 6" "$work/resume.log" || { cat "$work/resume.log"; fail "no resume after step 6"; }
if grep -q "is not used" "$work/resume.log"; then fail "the resume still met the damaged one"; fi
same_adapter one run

# prune: the newest valid one stays, whatever else there is
exits 0 "step-000004 would be removed" checkpoint prune --keep 1 --keep-best 0 --dry-run "$work/run"
truncate -s -1 "$place/step-000008/trainer.json"
exits 0 "step-000008 stays, damaged" checkpoint prune --keep 1 --keep-best 1 "$work/run"
[[ $(names) == ".step-000008.bad-1 step-000004 step-000006 step-000008" ]] || fail "after pruning there are $(names)"

exits 2 "A subcommand is required" checkpoint
exits 2 "--keep" checkpoint prune --keep 0 "$work/run"
expect_refusal 1 "$work/model holds no checkpoints" "$ranktune" checkpoint verify "$work/model"
expect_refusal 1 "$work/none is not a folder" "$ranktune" checkpoint list "$work/none"
expect_refusal 1 "cannot open $place/step-000099/manifest.json" "$ranktune" checkpoint diff "$place/step-000099" "$work/run"
echo "checkpoints managed as they should be"
