# shellcheck shell=bash
# Sourced by the end-to-end tests: the real program on a tiny random model, in a folder of its own.
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
ranktune=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1 OMP_NUM_THREADS=1

fail() { printf 'FAILED: %s\n' "$*"; exit 1; }
ranks() { # RANKS COMMAND...: one rank needs no launcher, which takes a second more to end after an error
  if [[ $1 == 1 ]]; then "${@:2}"; else mpirun -n "$1" --oversubscribe --bind-to none "${@:2}"; fi
}

make_data() {
  python3 "$project/tests/support/make_tiny_model.py" "$work"
  "$ranktune" prep --model "$work/model" --output "$work/train.h5" --max-length 256 "$work/chats.jsonl" >/dev/null
  cat >"$work/train.toml" <<TOML
device = "cpu"
[run]
dir = "$work/run"
[model]
path = "$work/model"
dtype = "fp32"
[data]
train = "$work/train.h5"
validation = "$work/train.h5"
[train]
epochs = 0
max_steps = 8
validate_every = 4
[batch]
tokens_per_slot = 256
sequences_per_step = 6
[lora]
dropout = 0.1
[checkpoint]
every = 2
[comm]
timeout = 60
TOML
  # Validation on the training rows would be refused; a copy of the file under another name is not the same path.
  cp "$work/train.h5" "$work/validation.h5"
  sed -i "s|^validation = .*|validation = \"$work/validation.h5\"|" "$work/train.toml"
}
train() { ranks "$1" "$ranktune" train "$work/train.toml" --set "run.dir=$work/$2" "${@:3}"; } # RANKS NAME ARGS...
same_adapter() { # NAME NAME
  cmp "$work/$1/adapter/adapter_model.safetensors" "$work/$2/adapter/adapter_model.safetensors" || fail "$1 and $2 differ"
}
figures() { # NAME: loss, gradient norm and validation loss of every step; checkpoints are written when they are
  python3 -c '
import json, sys
for line in open(sys.argv[1]):
    row = json.loads(line)
    if "checkpoint" not in row: print(row["step"], row.get("loss"), row.get("grad_norm"), row.get("validation_loss"))' "$work/$1/metrics.jsonl"
}
tree() { # everything in $work but what the tests themselves log; a folder's time says nothing
  find "$work" -mindepth 1 -name refusal.log -prune -o -type d -printf '%P/\n' -o -printf '%P %s %T@\n' | sort
}
# peak INPUT OUTPUT COMMAND...: runs it with that input and output and prints its peak memory in KiB
peak() { python3 - "$@" <<'PY'
import resource, subprocess, sys
with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb") as target:
    subprocess.run(sys.argv[3:], stdin=source, stdout=target, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
PY
}
# expect_refusal CODE TEXT COMMAND...: within 30 s the command ends with that exit code and one error line that holds TEXT;
# nothing in $work is changed, made or removed
expect_refusal() {
  local code=$1 text=$2 status=0 before start=$SECONDS
  shift 2
  before=$(tree)
  "$@" >"$work/refusal.log" 2>&1 || status=$?
  [[ $status == "$code" ]] || { cat "$work/refusal.log"; fail "exit code $status, not $code: $*"; }
  says "$text"
  [[ $code == 2 || $(grep -c "error: " "$work/refusal.log") == 1 ]] || { cat "$work/refusal.log"; fail "not one error line: $*"; }
  ((SECONDS - start <= 30)) || fail "it took $((SECONDS - start)) s: $*"
  diff <(printf '%s' "${before:+$before$'\n'}") <(tree) || fail "the files above changed: $*"
}
says() { # TEXT: the last refusal's message holds it
  grep -qF -- "$1" "$work/refusal.log" || { cat "$work/refusal.log"; fail "the message above has no \"$1\""; }
}
until_true() { # SECONDS WHAT COMMAND...: waits until COMMAND succeeds
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    ((SECONDS < deadline)) || { cat "$work"/*.log 2>/dev/null || true; fail "waited in vain for $what"; }
    sleep 0.1
  done
}
stopped_rank() { # NAME: the process of that run that is stopped; fails where there is none
  local pid
  for pid in $(pgrep -f "run.dir=$work/$1"); do
    if [[ $(awk '{ print $3 }' "/proc/$pid/stat" 2>/dev/null) == T ]]; then echo "$pid"; return; fi
  done
  return 1
}
