#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Every kind of wrong configuration and command line is refused before any work, with its place and the remedy.
set -euo pipefail
. "$(dirname "$0")/common.sh"
make_data
bad=$work/bad.toml

bad_toml() { # LINE:COLUMN TEXT: the file on stdin is refused there (LINE alone: syntax, where the column is the parser's choice)
  cat >"$bad"
  expect_refusal 1 "error: $bad:$1:" "$ranktune" train "$bad"
  says "$2"
}
bad_toml 2:1 'unknown key "lora.rnk"; did you mean "lora.rank"?' <<<$'[lora]\nrnk = 4'
bad_toml 1:2 'unknown section "optimiser"; did you mean "optimizer"?' <<<$'[optimiser]\nlr = 1e-4'
bad_toml 2:3 'unknown key "devise"; did you mean "device"?' <<<$'\n  devise = "cpu"'
bad_toml 3:1 'unknown key "zero.reduce"; did you mean "reduce"?' <<<$'[zero]\nstage = 2\nreduce = "exact"'
bad_toml 2:1 '`ranktune train --print-config` shows all keys' <<<$'[lora]\nquantisation_bits = 4'
bad_toml 2:8 'lora.rank' <<<$'[lora]\nrank = "8"'
bad_toml 2:8 'an integer from 1 to 65536' <<<$'[lora]\nrank = 8.5'
bad_toml 2:6 'optimizer.lr' <<<$'[optimizer]\nlr = true'
bad_toml 2:10 'true or false' <<<$'[lora]\nrslora = 1'
bad_toml 2:9 'double quotes' <<<$'[model]\ndtype = 16'
bad_toml 2:9 'a list of 1' <<<$'[lora]\nalpha = [16]'
bad_toml 1:1 'a table' <<<$'[lora.rank]\nq = 1'
bad_toml 2:8 'a date' <<<$'[run]\nseed = 2024-01-01'
bad_toml 1:8 'lora is a section' <<<'lora = 8'
bad_toml 2:8 'lora.rank is 0' <<<$'[lora]\nrank = 0'
bad_toml 2:11 'lora.dropout is 1' <<<$'[lora]\ndropout = 1.0'
bad_toml 2:9 'zero.stage is 3' <<<$'[zero]\nstage = 3'
bad_toml 2:9 'did you mean "bf16"?' <<<$'[model]\ndtype = "bf-16"'
bad_toml 2:9 'a list of two numbers' <<<$'[optimizer]\nbetas = [0.9]'
bad_toml 2:7 'run.dir must not be empty' <<<$'[run]\ndir = ""'
bad_toml 2:9 'data.train must not be empty' <<<$'[data]\ntrain = []'
bad_toml 2:11 '"w1" twice' <<<$'[lora]\ntargets = ["w1", "w1"]'
bad_toml 3 'only once' <<<$'[lora]\nrank = 4\nrank = 8'
bad_toml 2 'double quotes' <<<$'[model]\ndtype = bf16'
bad_toml 2 'not valid TOML' <<<$'[model]\npath = "a'
bad_toml 1 'not valid TOML' <<<$'[lora\nrank = 4'
bad_toml 2 'not valid TOML' <<<$'[lora]\nrank ='
bad_toml 2 'not valid TOML' < <(printf '[model]\npath = "\xff\xfe"\n')

# keys that do not go together: the place of the one to change
against() { # LINES after the good file, the message
  { cat "$work/train.toml"; printf '%s\n' "$1"; } >"$bad"
  expect_refusal 1 "$2" "$ranktune" train "$bad"
}
last=$(($(wc -l <"$work/train.toml") + 2))
against $'[schedule]\nwarmup_steps = 50' "$bad:$last:16: schedule.warmup_steps is 50, but train.max_steps ends the run after 8"
sed -i 's/^\[lora\]/[lora]\ntargets = ["all-linear", "q_proj"]/' "$work/train.toml"
against "" 'lora.targets names "all-linear" and single modules'
sed -i '/^targets/d' "$work/train.toml"
no_set() { expect_refusal 1 "$1" "$ranktune" train "$work/train.toml" "${@:2}"; } # MESSAGE ARGUMENTS...
no_set 'lora.dropout has no effect, because train.method is "full"' --set train.method=full
no_set 'train.epochs and train.max_steps are both 0' --set train.max_steps=0
no_set 'run.dir is the folder of model.path' --set "run.dir=$work/model/"
no_set 'which is trained on' --set "data.validation=$work/train.h5"
no_set '--set optimizer.lr=fast: ' --set optimizer.lr=fast
: >"$bad"
expect_refusal 1 'model.path (' "$ranktune" train "$bad" --set run.dir=x
says 'data.train ('

# all ranks refuse together; one speaks
for n in 1 2; do
  expect_refusal 1 'did you mean "optimizer.lr"?' train "$n" bad --set optimizer.lrr=1
  expect_refusal 1 "cannot open $work/absent.toml" ranks "$n" "$ranktune" train "$work/absent.toml"
  expect_refusal 1 'lora.targets' train "$n" bad --set 'lora.targets=["no_such"]'
done
expect_refusal 1 "rank 1 on host $(hostname) reads another configuration than rank 0" mpirun --oversubscribe --bind-to none \
  -n 1 "$ranktune" train "$work/train.toml" : -n 1 "$ranktune" train "$work/train.toml" --set lora.rank=4

# the command line
expect_refusal 2 "subcommand" "$ranktune"
expect_refusal 2 "CONFIG is required" "$ranktune" train
expect_refusal 2 "--no-such" "$ranktune" train x.toml --no-such
expect_refusal 2 "auto,none" "$ranktune" train x.toml --resume maybe
expect_refusal 2 'there is no "="' "$ranktune" train "$work/train.toml" --set lora.rank
expect_refusal 2 "--temperature" "$ranktune" generate --model "$work/model" --prompt x --temperature -1
expect_refusal 1 "either --prompt TEXT or --input FILE.jsonl" "$ranktune" generate --model "$work/model"
expect_refusal 2 "--output requires --input" "$ranktune" generate --model "$work/model" --prompt x --output "$work/answers"
expect_refusal 1 "--compare shows answers without and with --adapter" "$ranktune" generate --model "$work/model" --prompt x --compare
expect_refusal 1 "--merge needs the base model" "$ranktune" export --adapter "$work/model" --output "$work/x" --merge
echo "all refused as they should be"
