#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Two ranks train on one copy of the weights, however they are read: from loading on, both together have at most one of each page of
# the files or of their copy, and a model with more weights takes no more private memory to speak of. The shapes and the tool are
# those that 7B models are measured with.
set -euo pipefail
. "$(dirname "$0")/common.sh"
python3 "$project/tests/support/make_tiny_model.py" "$work"
for layers in 2 24; do
  "$project/tools/make_random_model" smollm2-135m "$work/$layers" --layers "$layers" --shard-gb 0.1 >/dev/null
done
"$ranktune" prep --model "$work/2" --output "$work/train.h5" --max-length 96 "$work/chats.jsonl" >/dev/null 2>&1
cat >"$work/train.toml" <<TOML
device = "cpu"
[run]
dir = "unset"
[model]
path = "unset"
dtype = "bf16"
[data]
train = "$work/train.h5"
[train]
epochs = 0
max_steps = 6
recompute = true
[batch]
tokens_per_slot = 128
sequences_per_step = 2
[lora]
targets = ["q_proj"]
rank = 4
TOML
bytes() { cat "$work/$1"/*.safetensors | wc -c; } # LAYERS
# peak LAYERS READ: MB of both ranks together: weights, private, all
peak() {
  "$project/tests/support/peak_pss.py" mpirun -n 2 --oversubscribe --bind-to none "$ranktune" train "$work/train.toml" \
    --set "model.path=$work/$1" --set "model.read=$2" --set "run.dir=$work/run-$1-$2" 2>"$work/train.log" ||
    { cat "$work/train.log" >&2; fail "training failed" >&2; }
  grep -qE '"step": *6' "$work/run-$1-$2/metrics.jsonl" || fail "no sixth step" >&2
}
weights=$(($(bytes 24) / 1000000)) more=$((($(bytes 24) - $(bytes 2)) / 1000000))
for read in all node; do
  numbers=$(peak 2 "$read") # an assignment, so that a failure ends this
  read -r _ small _ <<<"$numbers"
  numbers=$(peak 24 "$read")
  read -r mapped large _ <<<"$numbers"
  echo "model.read = $read: $weights MB of weights: $mapped MB mapped; $more MB more than in another model: $((large - small)) MB more private"
  ((mapped > weights * 9 / 10)) || fail "the weights were not seen"
  ((mapped + large - small < weights + more * 3 / 10)) || fail "there is more than one copy of weights"
done
