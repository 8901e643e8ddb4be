#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# launch/supervise starts a failing training again until it is done, gives up where nothing moves, goes on with fewer ranks where
# asked, passes signals on, and leaves no process behind.
set -euo pipefail
. "$(dirname "$0")/common.sh"
trap 'pkill -KILL -f "run.dir=$work/" || true; rm -rf "$work"' EXIT # stopped ranks would stay for ever
make_data
train 2 plain 2>/dev/null
hosts=() # launch/mpi's --host LIST, where there is one
supervise() { # NAME [OPTIONS...] -- [ARGS of train...]
  local name=$1 options=()
  shift
  while [[ $1 != -- ]]; do options+=("$1"); shift; done
  shift
  "$project/launch/supervise" "${options[@]}" -- "$project/launch/mpi" -n 2 "${hosts[@]}" "$ranktune" train "$work/train.toml" \
    --set "run.dir=$work/$name" "$@" 2>"$work/$name.log"
}
gone() { ! pgrep -f "run.dir=$work/$1" >/dev/null; } # NAME
expect() { # NAME CODE TEXT...: how the last one ended, and what it said
  local name=$1 code=$2
  shift 2
  [[ $status == "$code" ]] || { cat "$work/$name.log"; fail "$name: exit code $status, not $code"; }
  for text; do grep -qE -- "$text" "$work/$name.log" || { cat "$work/$name.log"; fail "$name: no \"$text\" above"; }; done
  until_true 10 "the end of all processes of $name" gone "$name" # mpirun does not wait for those it kills
}

# two failures with progress between them, then the end
status=0
supervise again --backoff 0 --max-restarts 1 -- --inject kill:rank=1,step=4 --inject throw:rank=0,step=7,attempt=2 || status=$?
expect again 0 "exit code 137 after [0-9]+ s, newest checkpoint (none|step-000002); restart 1 of 1 in 0 s" \
  "exit code 1 after [0-9]+ s, newest checkpoint step-00000[46]; restart 1 of 1"
same_adapter plain again

# a failure that does not pass; the third start would be on one rank
status=0
supervise stuck --backoff 0 --max-restarts 1 -- --inject exit:rank=1,code=9 --inject exit:rank=1,code=9,attempt=2 || status=$?
expect stuck 9 "newest checkpoint none; restart 1 of 1" "given up after 1 restarts without a new checkpoint"
status=0
supervise fewer --backoff 0 --allow-fewer-ranks -- --inject exit:rank=1 --inject exit:rank=1,attempt=2 || status=$?
expect fewer 0 "going on with 1 ranks; restart 2 of 5"
same_adapter plain fewer
# one of two hosts cannot be reached from the first start on: mpirun starts nothing
printf '#!/usr/bin/env bash\nexit 255\n' >"$work/agent"
chmod +x "$work/agent"
status=0
hosts=(--host "localhost:1,there:1")
OMPI_MCA_plm_rsh_agent="$work/none:$work/agent -q" supervise lost --backoff 0 --allow-fewer-ranks -- || status=$?
hosts=()
expect lost 0 "exit code 255 .*; host there cannot be reached: going on with 1 ranks on localhost:1; restart 1 of 5"
same_adapter plain lost

# wrong usage is not tried twice, and nothing to supervise is said at once
status=0
supervise usage -- --inject kil || status=$?
expect usage 2 "did you mean \"kill\""
if grep -q restart "$work/usage.log"; then fail "wrong usage was tried again"; fi
expect_refusal 2 "no \"ranktune train\" after --" "$project/launch/supervise" -- mpirun -n 2 "$ranktune" generate
expect_refusal 2 "--backoff is \"x\"" "$project/launch/supervise" --backoff x -- a train
expect_refusal 1 "unknown key \"trian.epochs\"" "$project/launch/supervise" -- "$project/launch/mpi" -n 2 "$ranktune" train \
  "$work/train.toml" --set trian.epochs=1

# asked to stop, while it trains and while it waits
supervise asked -- --inject stop:rank=1,step=5 &
pid=$!
until_true 120 "the stop of rank 1" stopped_rank asked >/dev/null
pkill -USR1 -o -f "bash .*launch/supervise.*run.dir=$work/asked"
until_true 60 "word of the signal" grep -q "SIGUSR1 is passed on" "$work/asked.log"
pending() { grep -qE '^ShdPnd:.*[2367abef][0-9a-f]{2}$' "/proc/$(stopped_rank asked)/status"; } # SIGUSR1
until_true 60 "SIGUSR1 at the stopped rank" pending
kill -CONT "$(stopped_rank asked)"
status=0
wait "$pid" || status=$?
expect asked 75 "SIGUSR1 is passed on" "ended on request with exit code 75"
supervise waits --backoff 600 -- --inject exit:rank=1,code=9 &
pid=$!
until_true 120 "the first failure" grep -qs "restart 1 of 5 in 600 s" "$work/waits.log"
pkill -TERM -o -f "bash .*launch/supervise.*run.dir=$work/waits"
status=0
wait "$pid" || status=$?
expect waits 9
# and when nothing of it runs: it looks for checkpoints just then
mkdir "$work/bin"
cat >"$work/bin/find" <<FIND
#!/usr/bin/env bash
pkill -TERM -o -f "bash .*launch/supervise.*run.dir=$work/between"
exec $(command -v find) "\$@"
FIND
chmod +x "$work/bin/find"
status=0
PATH=$work/bin:$PATH supervise between -- || status=$?
expect between 143 "ended on request"
[[ ! -e $work/between/done.json ]] || fail "it trained to the end although it was asked to stop"
echo "supervised as it should be"
