#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Bad input gets one clear message and a nonzero exit code, on one rank and on two, and nothing is overwritten.
set -euo pipefail
. "$(dirname "$0")/common.sh"
make_data
model=$work/model

expect_refusal 2 "subcommand" "$ranktune"
expect_refusal 2 "" "$ranktune" train
expect_refusal 1 "cannot open" "$ranktune" train "$work/absent.toml"
expect_refusal 1 "did you mean" "$ranktune" train "$work/train.toml" --set optimizer.lrr=1
expect_refusal 1 "optimizer.lr" "$ranktune" train "$work/train.toml" --set optimizer.lr=fast
for n in 1 2; do
  expect_refusal 1 "no such model folder" train "$n" bad --set "model.path=$work/nowhere"
  expect_refusal 1 "absent.h5" train "$n" bad --set "data.train=$work/absent.h5"
  expect_refusal 1 "lora.targets" train "$n" bad --set 'lora.targets=["no_such"]'
  [[ $(grep -c "error:" "$work/refusal.log") == 1 ]] || { cat "$work/refusal.log"; fail "the message came more than once"; }
done

# weights
broken() { rm -rf "$work/broken"; cp -r "$model" "$work/broken"; }
broken; truncate -s -100 "$work/broken/model.safetensors"
expect_refusal 1 "model.safetensors" train 2 bad --set "model.path=$work/broken"
broken; rm "$work/broken/model.safetensors"
expect_refusal 1 "model.safetensors" train 1 bad --set "model.path=$work/broken"
broken; rm "$work/broken/tokenizer.json"
expect_refusal 1 "tokenizer" train 1 bad --set "model.path=$work/broken"
broken; sed -i 's/"intermediate_size": 352/"intermediate_size": 360/' "$work/broken/config.json"
expect_refusal 1 "shape" train 1 bad --set "model.path=$work/broken"
broken; sed -i 's/Qwen2ForCausalLM/MixtralForCausalLM/; s/"model_type": "qwen2"/"model_type": "mixtral"/' "$work/broken/config.json"
expect_refusal 1 "not supported; supported are" train 1 bad --set "model.path=$work/broken"

# files that disagree about the token that ends a turn: refused by prep and train, unless told to go on
broken; sed -i 's/"eos_token_id": 258/"eos_token_id": 256/' "$work/broken/config.json"
expect_refusal 1 'config.json "eos_token_id": 256' "$ranktune" prep --model "$work/broken" --output "$work/none.h5" "$work/chats.jsonl"
for n in 1 2; do
  expect_refusal 1 "--allow-template-mismatch" train "$n" bad --set "model.path=$work/broken"
  [[ $(grep -c "error:" "$work/refusal.log") == 1 ]] || { cat "$work/refusal.log"; fail "the message came more than once"; }
done
"$ranktune" prep --model "$work/broken" --output "$work/none.h5" --allow-template-mismatch "$work/chats.jsonl" >/dev/null 2>"$work/warned.log"
grep -q "Going on all the same" "$work/warned.log" || fail "prep went on without a warning"
train 2 mismatch --set "model.path=$work/broken" --set train.max_steps=1 --allow-template-mismatch 2>"$work/warned.log"
[[ $(grep -c "Going on all the same" "$work/warned.log") == 1 ]] || { cat "$work/warned.log"; fail "train's warning is not there once"; }
rm "$work/none.h5"
expect_refusal 1 "writes turns in another way" "$ranktune" prep --model "$model" --template default --output "$work/none.h5" "$work/chats.jsonl"

# data
head -c 2000 "$work/train.h5" >"$work/short.h5"
expect_refusal 1 "short.h5" train 2 bad --set "data.train=$work/short.h5"
: >"$work/empty.jsonl"
expect_refusal 1 "nothing" "$ranktune" prep --model "$model" --output "$work/none.h5" "$work/empty.jsonl"
[[ ! -e $work/none.h5 ]] || fail "an empty data set left a file"
broken; python3 - "$work/broken/tokenizer.json" <<'PY'
import json, sys
path = sys.argv[1]
tokenizer = json.load(open(path))
tokenizer["added_tokens"][0]["content"] = "<|other|>"
json.dump(tokenizer, open(path, "w"))
PY
expect_refusal 1 "tokenizer" train 1 bad --set "model.path=$work/broken"
expect_refusal 1 "tokens" train 1 bad --set batch.tokens_per_slot=16

# what to inspect
expect_refusal 1 "say --template" "$ranktune" inspect
expect_refusal 2 "--template" "$ranktune" inspect --template --model "$model" --json
expect_refusal 2 "--model" "$ranktune" inspect --template
expect_refusal 1 "there is no chat template" "$ranktune" inspect --template chatlm --model "$model"
"$ranktune" inspect --template --model "$model" >"$work/table"
grep -q '    258  special  label  "<|im_end|>"' "$work/table" || fail "no learned end of turn"

# places to write to
expect_refusal 1 "/proc/nowhere" train 2 ignored --set run.dir=/proc/nowhere
train 2 first >/dev/null 2>&1
expect_refusal 1 "optimizer.lr" train 2 first --set optimizer.lr=0.5 --set train.max_steps=9
expect_refusal 1 "holds checkpoints" train 1 first --resume none
expect_refusal 1 "exists already" "$ranktune" export --adapter "$work/first/adapter" --output "$work/first"
expect_refusal 1 "not a PEFT adapter" "$ranktune" export --adapter "$model" --output "$work/x"

# more ranks than slots works, and says so
train 4 many --set batch.sequences_per_step=2 --set train.max_steps=2 2>"$work/many.log" || fail "more ranks than slots"
grep -q "some will have nothing to do" "$work/many.log" || fail "no warning for idle ranks"
echo "all refused as they should be"
