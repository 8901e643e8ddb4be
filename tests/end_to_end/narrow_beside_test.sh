#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# bf16 and fp16 with modules and token rows trained beside LoRA: near the fp32 run, the same bits on 1 and 2 ranks and from a
# checkpoint onto another number of ranks, fp32 masters, and nothing changed but what was named.
set -euo pipefail
. "$(dirname "$0")/common.sh"
make_data
# Without validation, which is most of the time where a CPU computes in fp16. The gradient of a whole matrix overflows at fp16's
# usual first scale.
beside() { # KIND DTYPE RANKS NAME
  local kind=(--set lora.modules_to_save=lm_head,norm --set lora.ensure_weight_tying=true)
  [[ $1 == matrix ]] || kind=(--set 'lora.trainable_tokens=<|im_end|>' --set 'lora.trainable_token_indices=[97, 32]')
  [[ $2 != fp16 ]] || kind+=(--set loss_scale.initial=1024)
  train "$3" "$4" --set "model.dtype=$2" --set lora.targets=q_proj,v_proj "${kind[@]}" --set optimizer.lr=1e-4 \
    --set schedule.kind=constant --set schedule.warmup_ratio=0 --set data.validation=[] --set train.validate_every=0 \
    --set train.max_steps=4 2>/dev/null
}
for kind in matrix rows; do
  for dtype in fp32 bf16 fp16; do
    name=$kind-$dtype
    beside "$kind" "$dtype" 1 "$name"
    "$ranktune" export --merge --adapter "$work/$name/adapter" --model "$work/model" --output "$work/$name/merged" 2>/dev/null
    [[ $dtype != fp32 ]] || continue # same_bits_test has it
    beside "$kind" "$dtype" 2 "$name-2"
    same_adapter "$name" "$name-2"
    diff <(figures "$name") <(figures "$name-2") || fail "figures of $name on 1 and 2 ranks differ"
    rm -r "$work/$name-2/checkpoints/step-000004" "$work/$name-2/adapter"
    beside "$kind" "$dtype" 1 "$name-2"
    same_adapter "$name" "$name-2"
  done
done
python3 - "$work" <<'PY'
import array, json, struct, sys
from pathlib import Path
work, LR, STEPS = Path(sys.argv[1]), 1e-4, 4
# fp16_test's bound for a loss, as wide as the type is coarse: bf16 has three bits less.
LOSS = {"bf16": 8 * 2e-3, "fp16": 2e-3}

def tensors(path):
    data = path.read_bytes()
    size, = struct.unpack_from("<Q", data)
    found = {}
    for name, info in json.loads(data[8:8 + size]).items():
        if name == "__metadata__": continue
        assert info["dtype"] == "F32", f"{path}: {name} is {info['dtype']}"
        begin, end = (8 + size + offset for offset in info["data_offsets"])
        found[name] = array.array("f", data[begin:end])
    return found

def narrow(value, dtype):
    if dtype == "fp16": return struct.unpack("<e", struct.pack("<e", value))[0]
    bits, = struct.unpack("<I", struct.pack("<f", value))
    return struct.unpack("<f", struct.pack("<I", (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000))[0]

def losses(name):
    rows = [json.loads(line) for line in open(work / name / "metrics.jsonl")]
    assert not any(row.get("skipped") for row in rows), (name, rows)
    return [row["loss"] for row in rows if "loss" in row]

base, width = tensors(work / "model/model.safetensors"), 128
def changed(merged): return {name for name in base if merged[name] != base[name]}
adapted = {name for name in base if "q_proj.weight" in name or "v_proj.weight" in name}
norms = {name for name in base if name.endswith("norm.weight")}
embedding = "model.embed_tokens.weight"
for kind, beside in (("matrix", norms | {embedding}), ("rows", {embedding})):
    exact = tensors(work / f"{kind}-fp32/merged/model.safetensors")
    for dtype in ("bf16", "fp16"):
        name = f"{kind}-{dtype}"
        for wide, ours in zip(losses(f"{kind}-fp32"), losses(name), strict=True):
            assert 0 < abs(ours / wide - 1) < LOSS[dtype], (name, wide, ours)
        tensors(work / name / "adapter/adapter_model.safetensors")
        merged = tensors(work / name / "merged/model.safetensors")
        assert merged.keys() == base.keys() and changed(merged) == adapted | beside, (name, changed(merged) ^ (adapted | beside))
        for tensor in beside:
            trained = range(len(base[tensor]))
            if kind == "rows":
                rows = [i // width for i in trained if merged[tensor][i] != base[tensor][i]]
                assert set(rows) == {32, 97, 258}, (name, set(rows))
                trained = [i for row in (32, 97, 258) for i in range(row * width, (row + 1) * width)]
            # They began at the base as that type has it. Steps of lr are far below its spacing near 1: a master in it would not
            # have moved, or stand on its grid.
            start = [narrow(base[tensor][i], dtype) for i in trained]
            end = [merged[tensor][i] for i in trained]
            assert all(abs(b - a) < 1.5 * LR * STEPS for a, b in zip(start, end)), (name, tensor)
            still = sum(narrow(value, dtype) == value for value in end) / len(end)
            assert still < 0.02, f"{name}: {still} of {tensor} stand where {dtype} has a number"
            # AdamW steps by the gradient's sign at first: most elements go where fp32's go.
            apart = sum(abs((b - a) - (exact[tensor][i] - base[tensor][i])) for i, a, b in zip(trained, start, end))
            way = sum(abs(exact[tensor][i] - base[tensor][i]) for i in trained)
            assert apart < 0.5 * way, f"{name}: {tensor} went {apart / way} of its way elsewhere"
PY
echo "what is trained beside LoRA is right in bf16 and fp16"
