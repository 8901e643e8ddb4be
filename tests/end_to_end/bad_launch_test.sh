#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Launches that cannot be what was meant are refused; more ranks than work is allowed, and said.
set -euo pipefail
. "$(dirname "$0")/common.sh"
make_data

alone() { env "$1" "$ranktune" train "$work/train.toml"; } # VARIABLE=VALUE: a process that MPI connects with no other
expect_refusal 1 "SLURM_NTASKS=2" alone SLURM_NTASKS=2
says "srun --mpi=pmix"
expect_refusal 1 "srun started 2 processes (SLURM_STEP_NUM_TASKS=2), but MPI connected none of them" alone SLURM_STEP_NUM_TASKS=2
expect_refusal 1 "A launcher of another MPI started 3 processes" alone PMI_SIZE=3

few=(--set batch.sequences_per_step=8 --set batch.tokens_per_slot=1024 --set train.max_steps=2) # the rows of a step fill a slot or two
train 4 many "${few[@]}" 2>"$work/many.log" || { cat "$work/many.log"; fail "more ranks than slots"; }
grep -Eq "warning: 4 ranks share the [12] slots of step 1: some have nothing to do" "$work/many.log" || { cat "$work/many.log"; fail "no warning for idle ranks"; }
train 1 one "${few[@]}" 2>"$work/one.log"
if grep -q "nothing to do" "$work/one.log"; then fail "a warning for one rank that has all the work"; fi
same_adapter one many

if "$ranktune" --version | grep -q "; 0 visible"; then
  for n in 1 2; do expect_refusal 1 'device = "cuda"' train "$n" bad --set device=cuda; done
fi
echo "all refused as they should be"
