#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Checkpoints are written beside the training; one that cannot be written is a warning and the training goes on; which ones stay.
set -euo pipefail
. "$(dirname "$0")/common.sh"
make_data
train 1 plain
saved() { # NAME: steps whose checkpoints the metrics say were saved
  python3 -c '
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
for row in rows:
    if "checkpoint" in row:
        assert row["checkpoint_blocking_s"] >= 0 and row["checkpoint_interval_s"] > 0, row
        assert not row["checkpoint_saved"] or row["checkpoint_bytes"] > 1000, row
        print(row["step"], row["checkpoint_saved"])' "$work/$1/metrics.jsonl"
}
expect_steps() { # NAME STEPS...: these checkpoints lie in the folder
  local found
  found=$(cd "$work/$1/checkpoints" && ls -d step-* 2>/dev/null | xargs)
  [[ $found == "${*:2}" ]] || fail "$1 holds checkpoints \"$found\", not \"${*:2}\""
}
[[ $(saved plain | xargs) == "2 True 4 True 6 True 8 True" ]] || fail "metrics tell of $(saved plain | xargs)"
expect_steps plain step-000004 step-000006 step-000008

# The newest and the two of the lowest validation losses stay, though no step but the last was due for a checkpoint.
train 1 best --set checkpoint.every=0 --set checkpoint.keep=1 --set checkpoint.keep_best=2 --set train.validate_every=1 --set optimizer.lr=0.05
# shellcheck disable=SC2046 # one word a step
expect_steps best $(python3 - "$work/best/metrics.jsonl" <<'PY'
import json, sys
losses = [(row["validation_loss"], row["step"]) for row in map(json.loads, open(sys.argv[1])) if "validation_loss" in row]
assert len(losses) == 8, losses
print(*(f"step-{step:06}" for step in sorted({8, *(step for _, step in sorted(losses)[:2])})))
PY
)

# A filesystem without a free byte (procfs says so of itself): every save fails, with its cause, and nothing else does.
mkdir "$work/full"
ln -s /proc "$work/full/checkpoints"
train 2 full 2>"$work/full.log" || { cat "$work/full.log"; fail "a full disk ended the training"; }
[[ $(grep -c "was not saved, training goes on: rank 0 (.* 0 bytes free" "$work/full.log") == 4 ]] ||
  { cat "$work/full.log"; fail "no four warnings with the cause"; }
[[ $(saved full | xargs) == "2 False 4 False 6 False 8 False" ]] || fail "metrics tell of $(saved full | xargs)"
same_adapter plain full

echo "checkpoints as they should be"
