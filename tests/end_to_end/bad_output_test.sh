#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Places that cannot be written to, and full disks: one message, and no half-written file. Runs in a mount namespace of its own,
# because the superuser is kept from writing by read-only mounts and full filesystems only.
set -euo pipefail
if [[ ${2:-} != inside ]]; then
  if ((EUID == 0)); then exec unshare --mount bash "$0" "$1" inside; fi
  exec unshare --map-root-user --mount bash "$0" "$1" inside
fi
. "$(dirname "$0")/common.sh"
make_data
model=$work/model
gguf=$project/tests/data/storage/tiny_llama.gguf

mkdir "$work/readonly" "$work/full"
mount -t tmpfs -o size=64k,ro tmpfs "$work/readonly"
fill() { # SIZE: a fresh filesystem of that size at $work/full
  if mountpoint -q "$work/full"; then umount "$work/full"; fi
  mount -t tmpfs -o "size=$1" tmpfs "$work/full"
}
: >"$work/file"

# read-only, a file where a folder should be, no such place
for place in "$work/readonly" "$work/file" /proc/nowhere; do
  for n in 1 2; do expect_refusal 1 "$place" train "$n" ignored --set "run.dir=$place/run"; done
  expect_refusal 1 "$place" "$ranktune" prep --model "$model" --output "$place/x.h5" "$work/chats.jsonl"
  expect_refusal 1 "$place" "$ranktune" import "$gguf" "$place/x"
done
expect_refusal 1 "$work/readonly" train 2 ignored --set "run.dir=$work/readonly"
expect_refusal 1 "$work/file" train 2 ignored --set "run.dir=$work/file"

# what is there stays
train 2 first >/dev/null 2>&1
done_before=$(cat "$work/first/done.json")
for n in 1 2; do
  expect_refusal 1 "optimizer.lr" train "$n" first --set optimizer.lr=0.5 --set train.max_steps=9
  expect_refusal 1 "holds checkpoints" train "$n" first --resume none
  expect_refusal 1 "no such model folder" train "$n" first --set "model.path=$work/nowhere"
done
[[ $(cat "$work/first/done.json") == "$done_before" ]] || fail "a refused run took the mark of a finished one"
expect_refusal 1 "exists already" "$ranktune" export --adapter "$work/first/adapter" --output "$work/first"
expect_refusal 1 "exists already" "$ranktune" export --adapter "$work/first/adapter" --merge --model "$model" --output "$work/first"
expect_refusal 1 "exists already" "$ranktune" export --gguf "$work/first/done.json" --model "$model"
expect_refusal 1 "--output FOLDER or --gguf FILE" "$ranktune" export --adapter "$work/first/adapter"
for place in "$work/readonly" "$work/file"; do
  expect_refusal 1 "$place" "$ranktune" export --adapter "$work/first/adapter" --output "$place/x"
  expect_refusal 1 "$place" "$ranktune" export --adapter "$work/first/adapter" --merge --model "$model" --output "$place/x"
  expect_refusal 1 "$place" "$ranktune" export --gguf "$place/x.gguf" --model "$model"
  echo '{"prompt": "x"}' >"$work/prompts.jsonl"
  expect_refusal 1 "$place" "$ranktune" generate --model "$model" --max-new-tokens 2 --input "$work/prompts.jsonl" --output "$place/x"
done

# full disks
space="No space left on device"
expect_refusal 1 "the output cannot be written: $space" bash -c '"$@" >/dev/full' to_full "$ranktune" inspect "$work/train.h5"
fill 8k
expect_refusal 1 "$space" "$ranktune" prep --model "$model" --output "$work/full/x.h5" "$work/chats.jsonl"
expect_refusal 1 "1 MB are needed, but 0 MB are free" "$ranktune" import "$gguf" "$work/full/x"
expect_refusal 1 "$space" "$ranktune" export --adapter "$work/first/adapter" --output "$work/full/x"
expect_refusal 1 "4 MB are needed, but 0 MB are free" "$ranktune" export --adapter "$work/first/adapter" --merge --model "$model" \
  --output "$work/full/x"
expect_refusal 1 "2 MB are needed, but 0 MB are free" "$ranktune" export --gguf "$work/full/x.gguf" --type F16 --model "$model"

# An older file of that name stays as it was.
head -n 1 "$work/chats.jsonl" >"$work/small.jsonl"
fill 96k
"$ranktune" prep --model "$model" --output "$work/full/x.h5" "$work/small.jsonl" >/dev/null
dd if=/dev/zero of="$work/full/ballast" bs=1k status=none 2>/dev/null || true
expect_refusal 1 "$space" "$ranktune" prep --model "$model" --output "$work/full/x.h5" "$work/chats.jsonl"

# Training goes on where a checkpoint does not fit, says so, and ends without a result that is not whole.
for n in 1 2; do
  fill 256k
  status=0
  train "$n" ignored --set "run.dir=$work/full/run" --set train.max_steps=4 >"$work/refusal.log" 2>&1 || status=$?
  [[ $status == 1 ]] || { cat "$work/refusal.log"; fail "exit code $status on a full disk"; }
  says "checkpoint step-000002 was not saved, training goes on"
  says "error: "
  [[ $(grep -c "error: " "$work/refusal.log") == 1 ]] || { cat "$work/refusal.log"; fail "not one error line"; }
  [[ $(wc -l <"$work/full/run/metrics.jsonl") -ge 4 ]] || fail "the steps before the end are not in metrics.jsonl"
  left=$(find "$work/full/run" -type f ! -name metrics.jsonl ! -name consumed.jsonl ! -name config.json ! -path '*/owner/attempt-*')
  [[ -z $left ]] || fail "half a result was left: $left"
done

# Where only the first ones fit, later ones are refused before anything of them is written; those there are whole, and so is the end.
fill 7m
train 2 ignored --set "run.dir=$work/full/run" --set checkpoint.every=1 --set checkpoint.keep=100 >"$work/refusal.log" 2>&1 ||
  { cat "$work/refusal.log"; fail "a disk without room for another checkpoint ended the training"; }
says "bytes free, a checkpoint needs about"
[[ -e $work/full/run/checkpoints/step-000001 && ! -e $work/full/run/checkpoints/step-000008 ]] || fail "not only the first checkpoints fit"
"$ranktune" checkpoint verify "$work/full/run" || fail "the checkpoints of a full disk"
[[ -z $(find "$work/full/run/checkpoints" -name '.*') ]] || fail "something of a failed save was left"
cmp "$work/first/adapter/adapter_model.safetensors" "$work/full/run/adapter/adapter_model.safetensors" || fail "the adapter differs"
umount "$work/full" "$work/readonly"
echo "all refused as they should be"
