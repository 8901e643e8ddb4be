#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Damaged and foreign adapters, kinds that are not computed, and settings that do not go with an adapter are refused.
set -euo pipefail
. "$(dirname "$0")/common.sh"
make_data
sed -i '/^\[lora\]/d; /^dropout/d; s/^max_steps = .*/max_steps = 2/' "$work/train.toml"
tokens='lora.trainable_tokens=<|im_end|>'
train 1 good --set "$tokens" --set lora.modules_to_save=norm --set lora.rank=4 2>"$work/good.log"
grep -q "of the embedding's 264 rows have no token: padding" "$work/good.log" || fail "no word of the spare rows"
broken=$work/broken
continue_from() { train "$1" bad --set "model.adapter=$2" "${@:3}"; } # RANKS ADAPTER ARGS...

# refuse TEXT EDIT...: a copy of the adapter, changed by EDIT in its folder, is not trained on, used or merged
refuse() {
  rm -rf "$broken"
  cp -r "$work/good/adapter" "$broken"
  (cd "$broken" && "${@:2}")
  expect_refusal 1 "$1" continue_from 1 "$broken"
  says "$broken"
}
config() { # KEY JSON: in adapter_config.json
  python3 -c 'import json, sys; c = json.load(open("adapter_config.json")); c[sys.argv[1]] = json.loads(sys.argv[2]); json.dump(c, open("adapter_config.json", "w"))' "$@"
}
tensors() { # PYTHON: statements on t, name -> (shape, bytes), of adapter_model.safetensors
  python3 - "$1" <<'PY'
import json, struct, sys
file = open("adapter_model.safetensors", "rb").read()
length, = struct.unpack("<Q", file[:8])
h, body = json.loads(file[8:8 + length]), file[8 + length:]
t = {k: (v["shape"], body[slice(*v["data_offsets"])]) for k, v in h.items() if k != "__metadata__"}
a = next(k for k in t if k.endswith("q_proj.lora_A.weight"))
rows = next(k for k in t if k.endswith("trainable_tokens_delta"))
norm = "base_model.model.model.norm.weight"
exec(sys.argv[1])
header, data = {}, b""
for k, (shape, values) in t.items():
    header[k] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
    data += values
text = json.dumps(header).encode()
open("adapter_model.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + data)
PY
}

# the file of tensors
refuse "is missing" tensors 'del t[a]'
refuse "is missing" tensors 'del t[rows]'
refuse "other.weight has no place in this model" tensors 't["other.weight"] = ([1], bytes(4))'
refuse "has shape [8, 128], but [4, 128] is needed here" tensors 't[a] = ([8, 128], t[a][1] * 2)'
refuse "has shape [2, 128], but [1, 128] is needed here" tensors 't[rows] = ([2, 128], t[rows][1] * 2)'
refuse "model.norm.weight has shape [64], but [128] is needed here" tensors 't[norm] = ([64], t[norm][1][:256])'
refuse "holds NaN or infinity" tensors 't[rows] = (t[rows][0], struct.pack("<f", float("nan")) + t[rows][1][4:])'
refuse "adapter_model.safetensors" truncate -s -4 adapter_model.safetensors
refuse "adapter_model.safetensors" rm adapter_model.safetensors
expect_refusal 1 "$broken/adapter_model.safetensors is missing" "$ranktune" export --adapter "$broken" --output "$work/copy"

# its configuration
refuse '"r" is given twice' sed -i '0,/{/s//{"r": 1,/' adapter_config.json
refuse 'not supported (only "LORA")' config peft_type '"IA3"'
refuse '"lora_bias" is true' config lora_bias true
refuse '"bias" is "all"' config bias '"all"'
refuse '"layer_replication"' config layer_replication '[[0, 2], [1, 3]]'
refuse '"use_qalora"' config use_qalora true
refuse "a changed copy of its base model" config init_lora_weights '"pissa"'
refuse "not a list of token ids" config trainable_token_indices '["<|im_end|>"]'
refuse "there is no token 264" config trainable_token_indices '[264]'
refuse "token 258 is named twice" config trainable_token_indices '[258, 258]'

# another base: by its weights, and without ranktune.json by its modules
refuse "was trained on other weights" sed -i 's/"base_fingerprint": "./&x/' ranktune.json
expect_refusal 1 "was trained on other weights" "$ranktune" generate --model "$work/model" --adapter "$broken" --prompt x
expect_refusal 1 "was trained on other weights" "$ranktune" export --merge --model "$work/model" --adapter "$broken" --output "$work/merged"
foreign() { rm ranktune.json; config target_modules '["c_attn", "c_proj"]'; }
refuse "c_attn, c_proj" foreign
foreign() { rm ranktune.json; tensors 't = {k.replace("model.layers.", "model.h."): v for k, v in t.items()}'; }
refuse "is missing" foreign

# settings that the adapter does not have
good=$work/good/adapter
expect_refusal 1 "lora.rank is 8, the adapter's 4" continue_from 2 "$good" --set lora.rank=8
expect_refusal 1 "lora.targets and the adapter do not agree" continue_from 1 "$good" --set lora.targets=q_proj
expect_refusal 1 "lora.modules_to_save and the adapter do not agree about model.norm" continue_from 1 "$good" --set lora.modules_to_save=layernorm
expect_refusal 1 "lora.trainable_token_indices asks for the tokens [7]" continue_from 1 "$good" --set lora.trainable_token_indices=[7]
expect_refusal 1 "has its values already" continue_from 1 "$good" --set lora.init=gaussian
continue_from 1 "$good" --set lora.rank=4 --set lora.modules_to_save=norm --set "$tokens" --set lora.dropout=0.1 2>/dev/null ||
  fail "an adapter's own settings were refused"
rm -r "$work/bad"

# tokens and modules of a new adapter
new() { train 1 bad "$@"; }
expect_refusal 1 '"<|im_end" is not one token' new --set 'lora.trainable_tokens=<|im_end'
expect_refusal 1 "there is no token 264" new --set lora.trainable_token_indices=[264]
expect_refusal 1 'but "q_proj" is neither' new --set "$tokens" --set lora.trainable_token_modules=q_proj
expect_refusal 1 "is trained whole" new --set "$tokens" --set lora.modules_to_save=embed_tokens --set lora.ensure_weight_tying=true
expect_refusal 1 'no module of this model is called "score"' new --set lora.modules_to_save=score
expect_refusal 1 "has LoRA matrices too" new --set lora.modules_to_save=_proj
expect_refusal 1 "is saved whole; name one of them" new --set lora.targets=q_proj --set lora.modules_to_save=mlp,up_proj
expect_refusal 1 "lora.trainable_token_modules has no effect" new --set lora.trainable_token_modules=lm_head
expect_refusal 1 "lora.ensure_weight_tying has no effect" new --set lora.ensure_weight_tying=true
echo "bad adapters are refused"
