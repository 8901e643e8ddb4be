#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# A node loses power in the middle of a 2-node training: the job runs again on the nodes that are left, from the last
# checkpoint, and ends with the very adapter of an undisturbed one. And a run that cannot succeed does not come back for ever.
#   usage: (in namespaces, see cluster.sh) lost_node_test.sh RANKTUNE
set -euo pipefail
. "$(dirname "$0")/cluster.sh"
. "$(dirname "$0")/training.sh"
start_cluster 3
make_data
site srun 5

undisturbed=$(submit undisturbed)
expect_state "$undisturbed" COMPLETED 0

job=$(submit lost)
until_true 120 "the training" has_steps lost 20
kill_node 2
scontrol update NodeName=n2 State=DOWN Reason="no power" # what the controller finds out by itself after SlurmdTimeout
expect_state "$job" COMPLETED 1
expect_log lost "on 2 nodes (n\[1,3\])"
expect_same_adapter undisturbed lost

# Half of a data file: found when the training starts, in every attempt.
head -c $(($(stat --format=%s "$work/train.h5") / 2)) "$work/train.h5" >"$work/half.h5"
sed -i "s/train\.h5/half.h5/" "$work/train.toml"
job=$(submit broken)
expect_state "$job" FAILED 1
expect_log broken "2 failures without a new checkpoint"
echo "the training survived the lost node, and the broken one ended"
