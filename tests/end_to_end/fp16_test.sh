#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# fp16: near the fp32 run, the same bits on 1, 2 and 3 ranks and after going on from a checkpoint while the loss scale falls and
# grows; overflow at the smallest scale, weights beyond its range and weights trained in bf16 are named.
set -euo pipefail
. "$(dirname "$0")/common.sh"
make_data
# Without validation, which is most of the time where a CPU computes in fp16.
half() { # RANKS NAME ARGS...
  train "$1" "$2" --set model.dtype=fp16 --set data.validation=[] --set train.validate_every=0 "${@:3}"
}

# the scale is taken out again: losses and gradient norms are fp32's but for the roundings of fp16
train 2 fp32 2>/dev/null
half 2 near 2>/dev/null
python3 - "$work" <<'PY'
import json, sys
rows = {name: [json.loads(line) for line in open(f"{sys.argv[1]}/{name}/metrics.jsonl")] for name in ("fp32", "near")}
steps = [[row for row in rows[name] if "grad_norm" in row] for name in ("fp32", "near")]
assert len(steps[0]) == len(steps[1]) == 8
for wide, narrow in zip(*steps):
    assert narrow["loss_scale"] == 65536 and "skipped" not in narrow, narrow
    assert 0 < abs(narrow["loss"] / wide["loss"] - 1) < 2e-3, (wide, narrow)
    assert 0 < abs(narrow["grad_norm"] / wide["grad_norm"] - 1) < 2e-2, (wide, narrow)
PY

# a scale that is too large at first, and grows again soon
moving=(--set loss_scale.initial=16777216 --set loss_scale.growth_interval=2 --set train.max_steps=14)
half 1 one "${moving[@]}" 2>"$work/one.log"
grep -q "changed nothing: slot .* on rank 0 (host $(hostname)), rows .*gradient, first of .*; the loss scale falls from 16777216 to 8388608" \
  "$work/one.log" || { cat "$work/one.log"; fail "no word of the overflow"; }
scales() { # NAME: of every step
  python3 -c '
import json, sys
for row in map(json.loads, open(sys.argv[1])):
    if "loss_scale" in row: print(row["step"], row["loss_scale"], row.get("skipped", False))' "$work/$1/metrics.jsonl"
}
scales one >"$work/scales"
python3 - "$work/scales" <<'PY'
import sys
rows = [line.split() for line in open(sys.argv[1])]
scales = [float(row[1]) for row in rows]
assert rows[0][2] == "True" and any(row[2] == "False" for row in rows), rows
assert any(b < a for a, b in zip(scales, scales[1:])) and any(b > a for a, b in zip(scales, scales[1:])), scales
PY
for n in 2 3; do
  half "$n" "ranks$n" "${moving[@]}" 2>/dev/null
  same_adapter one "ranks$n"
  diff <(figures one; scales one) <(figures "ranks$n"; scales "ranks$n") || fail "figures of 1 and $n ranks differ"
done
rm -r "$work/ranks3/checkpoints/step-000014" "$work/ranks3/adapter"
half 2 ranks3 "${moving[@]}" 2>/dev/null
same_adapter one ranks3
diff <(figures one; scales one) <(figures ranks3; scales ranks3) || fail "figures after a resumption differ"

# no lower scale is left
status=0
half 2 lowest --set loss_scale.initial=1073741824 --set loss_scale.minimum=1073741824 2>"$work/lowest.log" || status=$?
[[ $status == 1 && $(grep -c 'error: step 1: .*fp16 overflows although the loss scale is at loss_scale.minimum' "$work/lowest.log") == 1 ]] ||
  { cat "$work/lowest.log"; fail "exit code $status"; }
grep -q 'model.dtype = "bf16" or "fp32" in a new run.dir would avoid' "$work/lowest.log" || fail "no remedy"

# a model that was trained in bf16
sed -i 's/"torch_dtype": "float32"/"torch_dtype": "bfloat16"/' "$work/model/config.json"
half 2 risky --set train.max_steps=2 2>"$work/risky.log"
[[ $(grep -c "the weights were trained in bf16" "$work/risky.log") == 1 ]] || { cat "$work/risky.log"; fail "not one warning"; }
"$ranktune" generate --model "$work/model" --adapter "$work/one/adapter" --dtype fp16 --prompt "Say backwards: red blue" \
  --max-new-tokens 8 >"$work/answer" 2>"$work/generate.log"
grep -q "the weights were trained in bf16" "$work/generate.log" || { cat "$work/generate.log"; fail "generate does not warn"; }
[[ $(wc -l <"$work/answer") -ge 1 ]] || fail "no answer in fp16"

# a weight that fp16 does not have
python3 - "$work/model/model.safetensors" <<'PY'
import json, struct, sys
bytes_ = bytearray(open(sys.argv[1], "rb").read())
size = struct.unpack_from("<Q", bytes_)[0]
begin = json.loads(bytes_[8:8 + size])["model.layers.0.mlp.up_proj.weight"]["data_offsets"][0]
struct.pack_into("<f", bytes_, 8 + size + begin, -70000.0)
open(sys.argv[1], "wb").write(bytes_)
PY
expect_refusal 1 "weight model.layers.0.mlp.up_proj.weight holds values beyond 65504" half 2 beyond --set train.max_steps=2
echo "fp16 is as it should be"
