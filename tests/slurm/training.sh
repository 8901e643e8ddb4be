# shellcheck shell=bash disable=SC2154
# Sourced by the tests after cluster.sh: a small model and its data, and how a training on it is submitted.
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$cluster/work
export RANKTUNE=$1 RANKTUNE_SITE=$cluster/site.env
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1

finish() { # what a failure leaves to read; the nodes end with this shell
  local status=$?
  if ((status)); then
    sinfo --Node --long || true
    tail -n 20 "$cluster"/log/*.log || true
    tail -n 60 "$work"/*.log || true
  fi
  rm -rf "$cluster"
  exit "$status"
}
trap finish EXIT

fail() { printf 'FAILED: %s\n' "$*"; exit 1; }
site() { # LAUNCHER MAX_RESTARTS: the site facts of the cluster
  cat >"$RANKTUNE_SITE" <<SITE
site_options=(--partition=test) train_options=(--nodes=2 --ntasks-per-node=1) launcher=$1 max_restarts=$2 max_failures=2
SITE
}

make_data() {
  mkdir "$work"
  python3 "$project/tests/support/make_tiny_model.py" "$work"
  "$RANKTUNE" prep --model "$work/model" --output "$work/train.h5" --max-length 256 "$work/chats.jsonl"
  cat >"$work/train.toml" <<TOML
device = "cpu"
[run]
dir = "replaced"
[model]
path = "$work/model"
dtype = "fp32"
[data]
train = "$work/train.h5"
[train]
epochs = 0
max_steps = 60
threads = 1
[batch]
tokens_per_slot = 256
sequences_per_step = 12
[checkpoint]
every = 5
[comm]
timeout = 60
TOML
}

submit() { # NAME -> the job's number; its log is $work/NAME.log and its run folder $work/NAME
  "$project/slurm/train.sbatch" --output="$work/$1.log" "$work/train.toml" --set "run.dir=$work/$1" | awk '{ print $NF }'
}
has_steps() { [[ $(grep -c step "$work/$1/metrics.jsonl" 2>/dev/null) -ge $2 ]]; } # NAME STEPS
expect_state() { # JOB STATE RESTARTS
  until_true 300 "job $1 to end" job_over "$1"
  [[ $(job_field "$1" JobState) == "$2" && $(job_field "$1" Restarts) == "$3" ]] ||
    fail "job $1 is $(job_field "$1" JobState) after $(job_field "$1" Restarts) restarts, not $2 after $3"
}
expect_log() { grep -q "$2" "$work/$1.log" || fail "$1.log does not say: $2"; } # NAME TEXT
expect_resumed() { # NAME STEP: in its last life it went on after that step or a later one
  local step
  step=$(sed -nE 's/.*resuming after step ([0-9]+) from.*/\1/p' "$work/$1.log" | tail -n 1)
  ((${step:-0} >= $2)) || fail "$1.log says that it went on after step ${step:-0}, not $2"
}
expect_same_adapter() { # NAME NAME
  cmp "$work/$1/adapter/adapter_model.safetensors" "$work/$2/adapter/adapter_model.safetensors" || fail "$1 and $2 differ"
}
