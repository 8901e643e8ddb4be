#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Losses, gradient norms, validation losses and the adapter are the same bits on 1, 2, 3, 4, 5 and 8 ranks, after SIGKILL, and after
# going on with another number of ranks and coming back. (dropout, packing, several slots a rank and validation on)
set -euo pipefail
. "$(dirname "$0")/common.sh"
make_data

train 1 one
for n in 2 3 4 5 8; do
  train "$n" "ranks$n" 2>/dev/null
  same_adapter one "ranks$n"
  diff <(figures one) <(figures "ranks$n") || fail "figures of 1 and $n ranks differ"
done

# 3 ranks, then 5, then 3 again: weights, moments and everything else of the last checkpoint are those of one rank undisturbed
mkdir -p "$work/moved/checkpoints"
cp -r "$work/ranks3/checkpoints/step-000004" "$work/moved/checkpoints/"
train 5 moved 2>/dev/null
ls "$work/moved/checkpoints/step-000006/optimizer-00004-of-00005.safetensors" >/dev/null
rm -r "$work/moved/checkpoints/step-000008" "$work/moved/adapter"
train 3 moved 2>/dev/null
same_adapter one moved
status=0
"$ranktune" checkpoint diff "$work/one" "$work/moved" >"$work/differences" || status=$?
[[ $status == 1 && $(grep -c : "$work/differences") == 3 ]] && grep -q "^trainer.json: config.run.dir: " "$work/differences" ||
  { cat "$work/differences"; fail "moving between rank counts changed more than the folder's name"; }

# killed in the middle: the same command again
(train 2 killed --set train.log_every=1 --inject stall:rank=1,step=6 >/dev/null 2>&1) &
until_true 120 "a checkpoint" test -e "$work/killed/checkpoints/step-000004/manifest.json"
pkill -KILL -f "run.dir=$work/killed" || true
wait || true
[[ ! -e $work/killed/done.json ]] || fail "it was done before it could be killed"
train 2 killed
same_adapter one killed
diff <(figures one) <(figures killed) || fail "figures of the killed run differ"

# asked to stop: exit code 75 with a checkpoint, then on with 3 ranks
status=0
(train 2 stopped --inject stall:rank=1,step=6,seconds=5 2>"$work/stopped.log") &
pid=$!
until_true 120 "a checkpoint" test -e "$work/stopped/checkpoints/step-000004/manifest.json"
pkill -TERM -f "^$ranktune train .*run.dir=$work/stopped" || true # the ranks; not their launcher
wait "$pid" || status=$?
if [[ $status == 75 ]]; then
  grep -q "interrupted by signal" "$work/stopped.log" || fail "no word of the interruption"
  [[ ! -e $work/stopped/done.json ]] || fail "an interrupted run says it is done"
else
  cat "$work/stopped.log"
  fail "exit code $status after SIGTERM, not 75"
fi
train 3 stopped
same_adapter one stopped

# PiSSA: what was taken out of the base comes back from a checkpoint bit for bit, onto another number of ranks
pissa() { train "$1" pissa --set lora.init=pissa --set train.max_steps=4; } # RANKS
pissa 1
cp "$work/pissa/adapter/adapter_model.safetensors" "$work/pissa.safetensors"
rm -r "$work/pissa/checkpoints/step-000004" "$work/pissa/adapter"
pissa 2
cmp "$work/pissa.safetensors" "$work/pissa/adapter/adapter_model.safetensors" || fail "a resumed PiSSA run differs"

# modules and tokens trained beside LoRA: on 1 and 3 ranks, and from a checkpoint onto another number of ranks
beside() { # RANKS NAME ARGS...
  train "$1" "$2" --set lora.modules_to_save=embed_tokens,lm_head,norm --set lora.ensure_weight_tying=true --set train.max_steps=4 "${@:3}"
}
rows() { train "$1" "$2" --set 'lora.trainable_tokens=<|im_end|>' --set lora.dora=true --set train.max_steps=4; } # RANKS NAME
for kind in beside rows; do
  "$kind" 1 "$kind" 2>/dev/null
  "$kind" 3 "${kind}3" 2>/dev/null
  same_adapter "$kind" "${kind}3"
  rm -r "$work/${kind}3/checkpoints/step-000004" "$work/${kind}3/adapter"
  "$kind" 2 "${kind}3" 2>/dev/null
  same_adapter "$kind" "${kind}3"
done

# full fine-tuning: bit-equal on any number of ranks, and after going on from a checkpoint of another number
sed -i '/^\[lora\]/d; /^dropout/d' "$work/train.toml"
full() { train "$1" "$2" --set train.method=full --set train.max_steps=3 --set train.validate_every=2; } # RANKS NAME
full 1 full1
same_model() { cmp "$work/full1/model/model.safetensors" "$work/$1/model/model.safetensors" || fail "full fine-tuning: $1 differs"; }
for n in 2 3 4 5 8; do
  full "$n" "full$n" 2>/dev/null
  same_model "full$n"
  diff <(figures full1) <(figures "full$n") || fail "figures of full fine-tuning on 1 and $n ranks differ"
done
rm -r "$work/full5/checkpoints/step-000003"
full 2 full5
same_model full5
echo "same bits everywhere"
