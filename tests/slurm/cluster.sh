# shellcheck shell=bash
# A real Slurm of several nodes on this machine, for tests. Sourced by a shell with namespaces of its own: isolate bash TEST
# That shell is the login node with slurmctld and a network bridge. Every node is a further set of namespaces with its own
# network, hostname, processes and /dev/shm. Nothing reaches the machine's own network, and all of it ends with the shell.
cluster=$(mktemp -d /tmp/ranktune-slurm.XXXXXX) # short: munge's socket lies there, and a socket's path must stay below 108 bytes
net=10.77.0
isolate=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../support/isolate")
declare -A node_pid=()

login_node() { # NODES
  local k
  hostname login
  mkdir "$cluster"/{munge,state,spool,tmp,log}
  chmod 755 "$cluster" "$cluster"/*
  : >"$cluster/resolv.conf"
  {
    printf '127.0.0.1 localhost\n%s.254 login\n' "$net"
    for ((k = 1; k <= $1; k++)); do printf '%s.%d n%d\n' "$net" "$k" "$k"; done
  } >"$cluster/hosts"
  mount --bind "$cluster/hosts" /etc/hosts
  mount --bind "$cluster/resolv.conf" /etc/resolv.conf
  ip link set lo up
  ip link add bridge type bridge
  ip addr add "$net.254/24" dev bridge
  ip link set bridge up
}

write_configuration() { # NODES
  # shellcheck disable=SC2016
  printf '#!/bin/sh\necho "export TMPDIR=%s/tmp/$SLURMD_NODENAME"\n' "$cluster" >"$cluster/task-prolog"
  chmod 755 "$cluster/task-prolog"
  cat >"$cluster/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=login($net.254)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits this long, too, before it may start again.
AuthInfo=socket=$cluster/munge/socket,cred_expire=5
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool/%n
# PMIx makes a folder of the same name on every node.
TmpFS=$cluster/tmp/%n
TaskProlog=$cluster/task-prolog
SlurmctldPidFile=$cluster/slurmctld.pid
SlurmdPidFile=$cluster/slurmd.%n.pid
SlurmctldLogFile=$cluster/log/slurmctld.log
SlurmdLogFile=$cluster/log/slurmd.%n.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=pmix
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
PropagateResourceLimits=NONE
ReturnToService=2
# Longer than a busy machine may stand still: the tests declare a node lost themselves.
SlurmdTimeout=60
MessageTimeout=30
TCPTimeout=2
KillWait=5
MinJobAge=3600
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
NodeName=n[1-$1] CPUs=4 RealMemory=2000 State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
  # Nothing here is put into a cgroup. Left to itself, slurmd looks for the machine's, and ends where it finds none that it knows.
  echo CgroupPlugin=cgroup/v1 >"$cluster/cgroup.conf"
  export SLURM_CONF=$cluster/slurm.conf
}

inside_node() { # K: what runs in a node's namespaces
  hostname "n$1"
  ip link set lo up
  mount -t tmpfs -o mode=1777,size=1g tmpfs /dev/shm
  until ip addr add "$net.$1/24" dev eth0 2>/dev/null; do sleep 0.05; done
  ip link set eth0 up
  slurmd -D -N "n$1" &
  while :; do wait -n || sleep 1; done # and reap what the node's jobs leave
}

start_node() { # K: boots clean, as a hard stop leaves files of a step that make its next launch fail
  rm -rf "$cluster/tmp/n$1" "$cluster/spool/n$1"
  mkdir -m 1777 "$cluster/tmp/n$1"
  mkdir "$cluster/spool/n$1"
  export cluster net
  export -f inside_node
  "$isolate" bash -c "inside_node $1" </dev/null >"$cluster/log/n$1.out" 2>&1 &
  local pid=$!
  node_pid[$1]=$pid
  while [[ $(readlink "/proc/$pid/ns/net") == "$(readlink /proc/self/ns/net)" ]]; do sleep 0.02; done
  ip link add "v$1" type veth peer name eth0 netns "$pid"
  ip link set "v$1" master bridge up
}

kill_node() { # K loses power: its link first, so that no peer hears of it
  ip link del "v$1"
  kill -KILL "${node_pid[$1]}"
  wait "${node_pid[$1]}" 2>/dev/null || true
}

cut_node() { ip link set "v$1" down; } # K lives on, but nobody hears of it
restore_node() { ip link set "v$1" up; }

until_true() { # SECONDS WHAT COMMAND...: waits until COMMAND succeeds
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    ((SECONDS < deadline)) || { printf 'FAILED: waited in vain for %s\n' "$what" >&2; return 1; }
    sleep 0.2
  done
}

nodes_idle() { [[ $(sinfo --noheader --Node --states=idle --responding --format=%n 2>/dev/null | wc -l) -ge $1 ]]; }

start_cluster() { # NODES
  local k
  login_node "$1"
  write_configuration "$1"
  (umask 077 && head -c 128 /dev/urandom >"$cluster/munge/key")
  munged --foreground --socket="$cluster/munge/socket" --key-file="$cluster/munge/key" --pid-file="$cluster/munge/pid" \
    --log-file="$cluster/log/munged.log" --seed-file="$cluster/munge/seed" >"$cluster/log/munged.out" 2>&1 &
  until_true 20 "munged" test -S "$cluster/munge/socket"
  slurmctld -D >"$cluster/log/slurmctld.out" 2>&1 &
  for ((k = 1; k <= $1; k++)); do start_node "$k"; done
  until_true 60 "$1 idle nodes" nodes_idle "$1"
}

job_field() { scontrol --oneliner show job "$1" | tr ' ' '\n' | sed -n "s/^$2=//p"; } # JOB FIELD
job_over() { [[ $(job_field "$1" JobState) =~ ^(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL|OUT_OF_MEMORY)$ ]]; }
job_running() { [[ $(job_field "$1" JobState) == RUNNING ]]; }
