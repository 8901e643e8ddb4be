#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Broken, incomplete and foreign model folders are refused on one rank and on two.
set -euo pipefail
. "$(dirname "$0")/common.sh"
make_data
broken=$work/broken

# refuse RANKS TEXT EDIT...: a copy of the model, changed by EDIT in its folder, is refused
refuse() {
  rm -rf "$broken"
  cp -r "$work/model" "$broken"
  (cd "$broken" && "${@:3}")
  expect_refusal 1 "$2" train "$1" bad --set "model.path=$broken"
  says "$broken"
}
header() { # PYTHON: statements on the header h of model.safetensors; body: the bytes behind it, size: their number
  python3 - "$1" <<'PY'
import json, struct, sys
file = open("model.safetensors", "rb").read()
length, = struct.unpack("<Q", file[:8])
h, body = json.loads(file[8:8 + length]), file[8 + length:]
size = len(body)
exec(sys.argv[1])
text = json.dumps(h).encode()
open("model.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + body)
PY
}
config() { # KEY JSON: in config.json
  python3 -c 'import json, sys; c = json.load(open("config.json")); c[sys.argv[1]] = json.loads(sys.argv[2]); json.dump(c, open("config.json", "w"))' "$@"
}

for n in 1 2; do
  expect_refusal 1 "no such model folder" train "$n" bad --set "model.path=$work/nowhere"
  refuse "$n" "model.safetensors" rm model.safetensors
  refuse "$n" "model.safetensors" truncate -s -100 model.safetensors
  refuse "$n" "overlap" header 'h["model.norm.weight"]["data_offsets"] = [0, 512]'
  refuse "$n" "model.norm.weight" header 'del h["model.norm.weight"]; body = body[:-512]'
done
refuse 1 "model.safetensors" truncate -s 5 model.safetensors
refuse 1 "model.safetensors" truncate -s 0 model.safetensors
refuse 1 "model.safetensors" dd if=/dev/zero of=model.safetensors bs=8 count=1 conv=notrunc status=none
refuse 1 "model.safetensors" dd if=/dev/urandom of=model.safetensors bs=1000 count=1 conv=notrunc status=none
refuse 1 "model.norm.weight" header 'h["model.norm.weight"]["data_offsets"] = [size, size + 512]'
refuse 1 "other.weight has no place in the model" header 'h["other.weight"] = {"dtype": "F32", "shape": [1], "data_offsets": [size, size + 4]}; body += bytes(4)'
refuse 1 "model.norm.weight holds NaN or infinity" header 'at = h["model.norm.weight"]["data_offsets"][0]; body = body[:at] + struct.pack("<f", float("nan")) + body[at + 4:]'
refuse 1 'the header: "model.norm.weight" is given twice' python3 -c 'import struct
file = open("model.safetensors", "rb").read()
length, = struct.unpack("<Q", file[:8])
entry = b"\"model.norm.weight\":"
header = file[8:8 + length].rstrip().replace(b"\": ", b"\":").replace(b"{\"", b"{" + entry + b"{},\"", 1)
open("model.safetensors", "wb").write(struct.pack("<Q", len(header)) + header + file[8 + length:])'
refuse 1 '"vocab_size" is given twice' sed -i '0,/{/s//{"vocab_size": 1,/' config.json
refuse 1 "model.norm.weight" header 'h["model.norm.weight"]["shape"] = [64]'
refuse 1 "model.norm.weight" header 'h["model.norm.weight"]["shape"] = [-128]'
refuse 1 "model.norm.weight" header 'h["model.norm.weight"]["dtype"] = "F33"'
refuse 1 "model.norm.weight" header 'h["model.norm.weight"] |= {"dtype": "I32"}'
refuse 1 "has shape [352, 128], but config.json describes [360, 128]" config intermediate_size 360
refuse 1 "has shape" config num_key_value_heads 2
refuse 1 '"num_hidden_layers"' config num_hidden_layers -1
refuse 1 '"hidden_size"' config hidden_size '"wide"'
refuse 1 "cannot be shared" config num_key_value_heads 3
refuse 1 "use_sliding_window" config use_sliding_window true
refuse 1 "only full_attention is supported" config layer_types '["full_attention", "sliding_attention"]'
refuse 1 'rope type "longrope" is not supported' config rope_parameters '{"rope_type": "longrope", "rope_theta": 1e4}'
refuse 1 'architecture "MixtralForCausalLM"' config architectures '["MixtralForCausalLM"]'
says "supported are"
refuse 1 "quantization_config" config quantization_config '{"bits": 4}'
refuse 1 "config.json" rm config.json
refuse 1 "config.json" truncate -s 100 config.json

# tokenizer and chat template
for n in 1 2; do refuse "$n" "tokenizer.json" rm tokenizer.json; done
refuse 1 "tokenizer.json" truncate -s 300 tokenizer.json
beyond() { # the tokenizer has more ids than the embedding has rows
  python3 -c 'import json; t = json.load(open("tokenizer.json")); t["added_tokens"].append({**t["added_tokens"][0], "id": 300, "content": "<|new|>"}); json.dump(t, open("tokenizer.json", "w"))'
}
for n in 1 2; do refuse "$n" 'have no row in the embedding, which has 264: 300 "<|new|>"' beyond; done
refuse 1 "tokenizer.json" sed -i 's/"type": "BPE"/"type": "WordPiece"/' tokenizer.json
refuse 1 "chat template" sed -i 's/"chat_template": .*"eos_token"/"eos_token"/; /chat_template/d' tokenizer_config.json

# the other subcommands say the same
rm -rf "$broken" && cp -r "$work/model" "$broken" && truncate -s -100 "$broken/model.safetensors"
expect_refusal 1 "model.safetensors" "$ranktune" generate --model "$broken" --prompt x
rm -rf "$broken" && cp -r "$work/model" "$broken" && (cd "$broken" && beyond)
expect_refusal 1 '300 "<|new|>"' "$ranktune" generate --model "$broken" --prompt x
expect_refusal 1 "no such model folder" "$ranktune" prep --model "$work/nowhere" --output "$work/x.h5" "$work/chats.jsonl"
expect_refusal 1 "not a PEFT adapter" "$ranktune" export --adapter "$work/model" --output "$work/x"
expect_refusal 1 "not a PEFT adapter" "$ranktune" generate --model "$work/model" --adapter "$work/nowhere" --prompt x
expect_refusal 1 "absent.gguf" "$ranktune" import "$work/absent.gguf" "$work/x"
head -c 5000 "$project/tests/data/storage/tiny_llama.gguf" >"$work/short.gguf"
expect_refusal 1 "short.gguf" "$ranktune" import "$work/short.gguf" "$work/x"
expect_refusal 1 "not empty" "$ranktune" import "$project/tests/data/storage/tiny_llama.gguf" "$work/model"
echo "all refused as they should be"
