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

train 4 many --set batch.sequences_per_step=2 --set train.max_steps=2 2>"$work/many.log" || { cat "$work/many.log"; fail "more ranks than slots"; }
grep -q "warning: 4 ranks share 2 sequences a step: some will have nothing to do" "$work/many.log" || fail "no warning for idle ranks"
train 1 one --set batch.sequences_per_step=2 --set train.max_steps=2 2>"$work/one.log"
if grep -q "nothing to do" "$work/one.log"; then fail "a warning for one rank that has all the work"; fi
same_adapter one many

if "$ranktune" --version | grep -q "; 0 visible"; then
  for n in 1 2; do expect_refusal 1 'device = "cuda"' train "$n" bad --set device=cuda; done
fi
echo "all refused as they should be"
