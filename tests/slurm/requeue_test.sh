#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# A 2-node training that is warned of its time limit in the middle saves, goes back into the queue, and ends with the very
# adapter of an undisturbed one, under both launchers; and it comes back no more often than the site allows.
#   usage: (in namespaces, see cluster.sh) requeue_test.sh RANKTUNE
set -euo pipefail
. "$(dirname "$0")/cluster.sh"
. "$(dirname "$0")/training.sh"
start_cluster 3
make_data
site srun 5

undisturbed=$(submit undisturbed)
expect_state "$undisturbed" COMPLETED 0

warned() { # NAME: submits, and in the middle sends what Slurm sends before the time limit
  local job
  job=$(submit "$1")
  until_true 120 "$1 to train" has_steps "$1" 10
  scancel --signal=USR1 --batch "$job"
  echo "$job"
}
for launcher in srun mpirun; do
  site "$launcher" 5
  job=$(warned "$launcher")
  expect_state "$job" COMPLETED 1
  expect_log "$launcher" "interrupted with a checkpoint; back into the queue (restart 1 of 5)"
  expect_resumed "$launcher" 10
  expect_same_adapter undisturbed "$launcher"
done

site srun 0
job=$(warned capped)
expect_state "$job" FAILED 0
expect_log capped "no restart, this was number 0 of 0"
echo "requeued trainings ended with the undisturbed one's adapter"
