#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# `verify` refuses what holds no records, and fails where one is missing or wrong.
set -euo pipefail
. "$(dirname "$0")/common.sh"
make_data
expect_refusal 2 "DIR" "$ranktune" verify
expect_refusal 1 "nothing to verify" "$ranktune" verify "$work/model"
expect_refusal 1 "does not exist" ranks 2 "$ranktune" verify "$work/nowhere"

cp -r "$project/tests/data/golden/qwen2_gqa_tied" "$work/golden"
rm -r "$work/golden/adapters/lora"
for n in 1 2; do
  status=0
  ranks "$n" "$ranktune" verify "$work/golden" >"$work/verify.log" 2>&1 || status=$?
  [[ $status == 1 ]] || { cat "$work/verify.log"; fail "exit code $status with an adapter missing"; }
  grep -q "golden/lora.*FAIL" "$work/verify.log" && grep -q " 1 failed" "$work/verify.log" ||
    { cat "$work/verify.log"; fail "not one failure, of golden/lora"; }
done
echo "verify refuses and fails as it should"
