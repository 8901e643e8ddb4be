#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# `ranktune prep` needs memory for what is on its way through it, not for all of its input; and all cores write what one writes.
set -euo pipefail
. "$(dirname "$0")/common.sh"
python3 "$project/tests/support/make_tiny_model.py" "$work"
rows() { # ROWS: of 2 KB each
  python3 -c '
import json, random, sys
rng = random.Random(3)
for i in range(int(sys.argv[1])):
    answer = " ".join(str(rng.randrange(10**6)) for _ in range(280))
    print(json.dumps({"messages": [{"role": "user", "content": f"Count from {i}"}, {"role": "assistant", "content": answer}]}))' "$1"
}
rows 10000 >"$work/small.jsonl" # more than is on its way at a time
rows 30000 >"$work/large.jsonl"
prep() { # NAME ARGS... -> peak memory in KiB
  peak /dev/null "$work/$1.log" "$ranktune" prep --model "$work/model" --output "$work/$1.h5" --max-length 4096 "${@:2}" 2>"$work/$1.errors" ||
    { cat "$work/$1.errors" >&2; fail "prep of $1"; }
}
# What is on its way differs from run to run, by up to 28 MB here; rows kept to the end would take five times the size of the input.
bound() { # WHAT SMALL LARGE: the larger input takes less than its own size beyond the small one
  local more=$((($(stat -c %s "$work/large.jsonl") - $(stat -c %s "$work/small.jsonl")) / 1024))
  (($3 - $2 < more)) || fail "$1: $more KiB more of input took $(($3 - $2)) KiB more of memory ($2 -> $3)"
}
bound "one file" "$(prep small --threads 1 "$work/small.jsonl")" "$(prep large --threads 1 "$work/large.jsonl")"
bound "shards, none twice" "$(prep few --threads 1 --shard-rows 1000 --dedupe "$work/small.jsonl")" \
  "$(prep many --threads 1 --shard-rows 1000 --dedupe "$work/large.jsonl")"
prep threads --threads 3 "$work/large.jsonl" >/dev/null
cmp "$work/large.h5" "$work/threads.h5" || fail "three threads write another file than one"
echo "prepared within bounds"
