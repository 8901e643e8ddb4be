#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# `ranktune tokenize` as a filter: files and pipes, both ways, on any number of threads, in memory that the input's size
# does not raise. The tiny model's ids are bytes, and 258 is <|im_end|>.
set -euo pipefail
. "$(dirname "$0")/common.sh"
python3 "$project/tests/support/make_tiny_model.py" "$work"
tokenize() { "$ranktune" tokenize --model "$work/model" "$@"; }
expect() { [[ $2 == "$1" ]] || fail "not $1 but $2"; } # WANTED GOT

printf '%s\n' '{"text": "ab<|im_end|>", "other": 1}' '' '{"text": "\u6625"}' >"$work/texts.jsonl"
expect '{"ids":[97,98,258]}
{"ids":[230,152,165]}' "$(tokenize "$work/texts.jsonl")"
expect '{"ids":[97,98,60,124,105,109,95,101,110,100,124,62]}' "$(head -n 1 "$work/texts.jsonl" | tokenize --plain)"
expect '{"text":"ab<|im_end|>"}
{"text":"春"}' "$(tokenize "$work/texts.jsonl" | tokenize --decode)"
expect "" "$(tokenize </dev/null)"

python3 - "$work" <<'PY'
import json, random, sys
rng = random.Random(1)
with open(sys.argv[1] + "/many.jsonl", "w") as out:
    for i in range(40000):
        out.write(json.dumps({"text": "%d " % i + "春 <|im_end|> w\"\n" * rng.randrange(40)}, ensure_ascii=False) + "\n")
PY
small=$(peak "$work/texts.jsonl" "$work/few" "$ranktune" tokenize --model "$work/model" --threads 1)
large=$(peak "$work/many.jsonl" "$work/one" "$ranktune" tokenize --model "$work/model" --threads 1)
input=$(($(stat -c %s "$work/many.jsonl") / 1024))
((large - small < input / 2)) || fail "$input KiB of input took $((large - small)) KiB of memory more than three lines"
tokenize --threads 4 "$work/many.jsonl" | cmp - "$work/one" || fail "four threads write something else"
tokenize --decode "$work/one" >"$work/again"
python3 - "$work/many.jsonl" "$work/again" <<'PY'
import json, sys
texts, again = ([json.loads(line)["text"] for line in open(name)] for name in sys.argv[1:])
assert texts == again, "decoding does not give the texts back"
PY

expect_refusal 1 "absent.jsonl: cannot be opened" tokenize "$work/absent.jsonl"
expect_refusal 1 "no such model folder" "$ranktune" tokenize --model "$work/nowhere" "$work/texts.jsonl"
expect_refusal 2 "--plain" tokenize --plain --decode "$work/texts.jsonl"
expect_refusal 2 "--threads" tokenize --threads -1 "$work/texts.jsonl"
printf '{"text": "a"}\n{"text": 1}\n' >"$work/bad.jsonl"
expect_refusal 1 "bad.jsonl:2: \"text\" is not a string: 1" tokenize "$work/bad.jsonl"
expect_refusal 1 "/dev/stdin:2: " tokenize <"$work/bad.jsonl"
expect_refusal 1 "cannot be written" bash -c '"$@" >/dev/full' _ "$ranktune" tokenize --model "$work/model" "$work/texts.jsonl"
echo "tokenized as it should be"
