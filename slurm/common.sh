# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by the job scripts, in the project's folder: site facts; submission, unless this is the job itself.
say() { printf '[%(%F %T)T] %s\n' -1 "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

site_options=() train_options=() prep_options=()
launcher=srun max_restarts=50 max_failures=3
site=${RANKTUNE_SITE:-slurm/site.env}
# shellcheck source=/dev/null
if [[ -r $site ]]; then . "$site"; fi
# shellcheck source=/dev/null
if [[ -r .deps/environment ]]; then . .deps/environment; fi
ranktune=${RANKTUNE:-build/bin/ranktune}
[[ -x $ranktune ]] || die "no $ranktune in $PWD: run launch/setup there, and submit from there"

# submit SCRIPT ARGS...: leading --options are sbatch's, the rest is the job's own
submit() {
  local script=$1 options=()
  shift
  while [[ ${1:-} == --?* ]]; do
    options+=("$1")
    shift
  done
  mkdir -p runs
  exec sbatch --output=runs/%x-%j.log "${site_options[@]}" "${job_options[@]}" "${options[@]}" "$script" "$@"
}
