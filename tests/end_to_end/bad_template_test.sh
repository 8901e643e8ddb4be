#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Files of a model that disagree about the token that ends a turn are refused by prep and train, unless told to go on.
set -euo pipefail
. "$(dirname "$0")/common.sh"
make_data
broken=$work/broken
cp -r "$work/model" "$broken"
sed -i 's/"eos_token_id": 258/"eos_token_id": 256/' "$broken/config.json"

expect_refusal 1 'config.json "eos_token_id": 256' "$ranktune" prep --model "$broken" --output "$work/none.h5" "$work/chats.jsonl"
for n in 1 2; do expect_refusal 1 "--allow-template-mismatch" train "$n" bad --set "model.path=$broken"; done
"$ranktune" prep --model "$broken" --output "$work/none.h5" --allow-template-mismatch "$work/chats.jsonl" >/dev/null 2>"$work/warned.log"
grep -q "Going on all the same" "$work/warned.log" || fail "prep went on without a warning"
train 2 mismatch --set "model.path=$broken" --set train.max_steps=1 --allow-template-mismatch 2>"$work/warned.log"
[[ $(grep -c "Going on all the same" "$work/warned.log") == 1 ]] || { cat "$work/warned.log"; fail "train's warning is not there once"; }
expect_refusal 1 "writes turns in another way" "$ranktune" prep --model "$work/model" --template default --output "$work/other.h5" \
  "$work/chats.jsonl"

expect_refusal 1 "say --template" "$ranktune" inspect
expect_refusal 2 "--template" "$ranktune" inspect --template --model "$work/model" --json
expect_refusal 2 "--model" "$ranktune" inspect --template
expect_refusal 1 "there is no chat template" "$ranktune" inspect --template chatlm --model "$work/model"
"$ranktune" inspect --template --model "$work/model" >"$work/table"
grep -q '    258  special  label  "<|im_end|>"' "$work/table" || fail "no learned end of turn"
echo "disagreeing templates are refused"
