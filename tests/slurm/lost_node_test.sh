#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# A node loses power in the middle of a 2-node training: the job runs again on the nodes that are left, from the last
# checkpoint, and ends with the very adapter of an undisturbed one. So it does when the network to a node is cut, whose ranks live
# on, and when a node restarts so quickly that Slurm does not miss it. And a run that cannot succeed does not come back for ever.
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
expect_resumed lost 10
expect_same_adapter undisturbed lost

# The node of rank 0 is cut off. Its old ranks see the same files, and are alive when the job runs again without them.
start_node 2
until_true 60 "n2 to come back" nodes_idle 3
job=$(submit cut)
until_true 120 "the training" has_steps cut 20
expect_log cut "on 2 nodes (n\[1-2\])"
cut_node 1
scontrol update NodeName=n1 State=DOWN Reason="cut off"
until_true 120 "the end of the old life" grep -q "has taken over; attempt 1 of process .* writes nothing more" "$work/cut.log"
expect_state "$job" COMPLETED 1
expect_log cut "on 2 nodes (n\[2-3\])"
expect_resumed cut 10
expect_same_adapter undisturbed cut
restore_node 1

# A node that is not the script's restarts at once: the step fails, and the script asks for the next start itself.
job=$(submit rebooted)
until_true 120 "the training" has_steps rebooted 20
kill_node 3
start_node 3
expect_state "$job" COMPLETED 1
expect_log rebooted "the run failed (exit code .*back into the queue (restart 1 of 5)"
expect_resumed rebooted 10
expect_same_adapter undisturbed rebooted

# Half of a data file: found when the training starts, in every attempt.
head -c $(($(stat --format=%s "$work/train.h5") / 2)) "$work/train.h5" >"$work/half.h5"
sed -i "s/train\.h5/half.h5/" "$work/train.toml"
job=$(submit broken)
expect_state "$job" FAILED 1
expect_log broken "2 failures without a new checkpoint"
echo "the training survived the lost node, and the broken one ended"
