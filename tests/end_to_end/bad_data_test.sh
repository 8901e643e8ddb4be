#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Damaged, foreign and empty data is refused by prep, train and inspect; damage met in the middle of a run ends it on all ranks.
set -euo pipefail
. "$(dirname "$0")/common.sh"
make_data
model=$work/model

prep() { "$ranktune" prep --model "$model" "$@"; }
no_data() { expect_refusal 1 "$2" train "$1" bad --set "data.train=$work/$3"; } # RANKS TEXT FILE

# files that are no data set
: >"$work/empty.h5"
head -c 2000 "$work/train.h5" >"$work/short.h5"
head -c -200 "$work/train.h5" >"$work/cut.h5"
cp "$work/chats.jsonl" "$work/text.h5"
for n in 1 2; do
  no_data "$n" "$work/absent.h5" absent.h5
  no_data "$n" "$work/short.h5" short.h5
done
for file in empty cut text; do no_data 1 "$work/$file.h5" "$file.h5"; done
no_data 1 "$model" model
expect_refusal 1 "short.h5" "$ranktune" inspect "$work/short.h5"
expect_refusal 1 "short.h5" train 2 bad --set "data.validation=$work/short.h5"
expect_refusal 1 "tokens_per_slot" train 2 bad --set batch.tokens_per_slot=16

# damage that only reading the rows shows, met by the feed's thread: all ranks end, one speaks, and no mark says done
python3 - "$work/train.h5" "$work/damaged.h5" <<'PY'
import sys
bytes = bytearray(open(sys.argv[1], "rb").read())
for at in range(len(bytes) // 3, len(bytes) * 2 // 3): bytes[at] ^= 0x5A
open(sys.argv[2], "wb").write(bytes)
PY
for n in 1 2; do
  status=0
  train "$n" "damaged$n" --set "data.train=$work/damaged.h5" >"$work/refusal.log" 2>&1 || status=$?
  [[ $status == 1 && ! -e $work/damaged$n/done.json ]] || { cat "$work/refusal.log"; fail "exit code $status on damaged data"; }
  says "$work/damaged.h5"
  says "damaged"
  [[ $(grep -c "error: " "$work/refusal.log") == 1 ]] || { cat "$work/refusal.log"; fail "not one error line"; }
done

# sets of several files
prep --output "$work/set.h5" --shard-rows 40 "$work/chats.jsonl" >/dev/null
mv "$work/set-00001-of-00003.h5" "$work/aside.h5"
no_data 2 "set-00001-of-00003.h5: is missing; the data set has 3 shards" set.h5
cp "$work/set-00002-of-00003.h5" "$work/set-00001-of-00003.h5"
no_data 1 "was written as shard 2 of 3; it has been renamed" set.h5
mv "$work/aside.h5" "$work/set-00001-of-00003.h5"
cp "$work/train.h5" "$work/set.h5"
no_data 1 "several data sets of this name" set.h5

# made for something else than this model
other() { # SED-SCRIPT FILE: a model folder changed by sed
  rm -rf "$work/other" && cp -r "$model" "$work/other" && sed -i "$1" "$work/other/$2"
}
other 's/<|endoftext|>/<|other|>/' tokenizer.json
for n in 1 2; do expect_refusal 1 "was made with another tokenizer" train "$n" bad --set "model.path=$work/other"; done
expect_refusal 1 "was not made with the tokenizer" "$ranktune" inspect "$work/train.h5" --model "$work/other"
for n in 1 2; do expect_refusal 1 'was made with the chat template "chatml"' train "$n" bad --set data.template=qwen2.5; done
other 's/assistant/model/' tokenizer_config.json
expect_refusal 1 "the model's chat template is not one this program knows" train 2 bad --set "model.path=$work/other"

# what prep reads
refuse_rows() { # TEXT ARGUMENTS...: the rows on stdin
  cat >"$work/rows.jsonl"
  expect_refusal 1 "$1" prep --output "$work/none.h5" "${@:2}" "$work/rows.jsonl"
}
good='{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'
refuse_rows "nothing" </dev/null
refuse_rows "rows.jsonl" <<<"$good"$'\n{"messages": [{"role": "user", "content": "cut off'
says ":2"
refuse_rows "rows.jsonl" <<<'{"messages": [{"role": "narrator", "content": "x"}, {"role": "assistant", "content": "y"}]}'
refuse_rows "rows.jsonl" <<<'{"messages": []}'
refuse_rows "rows.jsonl" <<<'{"question": "x", "reply": "y"}'
refuse_rows "over_long: 1 rows" --max-length 16 --over-length drop <<<"$good"
refuse_rows "there are: auto, alpaca, sharegpt, messages, text" --format csv <<<"$good"
refuse_rows "max_length = 0 is out of range: 8 .. 1048576" --max-length 0 <<<"$good"
refuse_rows "drop, split" --over-length cut <<<"$good"
expect_refusal 1 "$work/absent.jsonl" prep --output "$work/none.h5" "$work/absent.jsonl"
expect_refusal 1 "$work/absent" prep --output "$work/none.h5" --from-text "$work/absent"
expect_refusal 1 ".h5" prep --output "$work/none.txt" "$work/chats.jsonl"

# what generate reads
refuse_prompts() { # TEXT FILE
  expect_refusal 1 "$1" "$ranktune" generate --model "$model" --max-new-tokens 2 --input "$2" --output "$work/answers.jsonl"
}
echo '{"messages": []}' >"$work/prompts.jsonl"
refuse_prompts 'prompts.jsonl:1: "messages" is empty' "$work/prompts.jsonl"
echo '{"messages": [{"role": "user"}]}' >"$work/prompts.jsonl"
refuse_prompts 'prompts.jsonl:1: "content" is missing' "$work/prompts.jsonl"
refuse_prompts "cannot read $model" "$model"
refuse_prompts "cannot open $work/absent.jsonl" "$work/absent.jsonl"
echo "all refused as they should be"
