#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# model.read = "all", "node" and "rank0" train the same adapter; with "rank0" no other rank needs the model folder; trouble on the
# rank that reads is one message, and the job ends.
set -euo pipefail
. "$(dirname "$0")/common.sh"
make_data

train 1 reference 2>/dev/null
for read in node rank0; do
  train 3 "$read" --set "model.read=$read" 2>/dev/null
  same_adapter reference "$read"
done

# Rank 1 starts in a folder without the model, whose path is relative.
mkdir "$work/elsewhere"
split() { # NAME ARGS...
  local common=(train "$work/train.toml" --set "run.dir=$work/$1" --set model.path=model "${@:2}")
  mpirun --oversubscribe --bind-to none -n 1 --wdir "$work" "$ranktune" "${common[@]}" \
    : -n 2 --wdir "$work/elsewhere" "$ranktune" "${common[@]}"
}
split apart --set model.read=rank0 2>"$work/apart.log" || { cat "$work/apart.log"; fail "rank 0 alone has the model"; }
same_adapter reference apart
expect_refusal 1 "model folder model does not exist" split refused --set model.read=all
[[ $(grep -c "error:" "$work/refusal.log") == 1 ]] || { cat "$work/refusal.log"; fail "the message came more than once"; }

# The reader's file ends before it should (a size of 4096 is announced), or is of another kind.
for read in all node rank0; do
  rm -rf "$work/broken"
  cp -r "$work/model" "$work/broken"
  ln -sf /sys/kernel/mm/transparent_hugepage/enabled "$work/broken/model.safetensors"
  expect_refusal 1 "model.safetensors" train 3 trouble --set "model.read=$read" --set "model.path=$work/broken"
  [[ $(grep -c "error:" "$work/refusal.log") == 1 ]] || { cat "$work/refusal.log"; fail "the message came more than once"; }
done
expect_refusal 1 "model.read" train 1 wrong --set model.read=some
echo "every way of reading gives the same adapter"
