#!/usr/bin/env bash
# Copyright 2026 The Lockstep Authors
# SPDX-License-Identifier: Apache-2.0
#
# Fuzzes with libFuzzer every target that must never find anything, one after the
# other, with AddressSanitizer and UndefinedBehaviorSanitizer:
#
#   ci/fuzz-targets.sh [--for=SECONDS] [TARGET...]
#
# SECONDS, 600 if not given, are shared evenly. Each target starts from its seed
# corpus. What it finds is in findings/TARGET-*, ready for `lockstep run`.
#
# Exit status: 0 nothing was found; 1 something was; 2 usage; 3 something is
# missing here.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source ci/build.sh

seconds=600
targets=()
for argument in "$@"; do
  case $argument in
    --for=*)
      seconds=${argument#*=}
      if [[ ! $seconds =~ ^[1-9][0-9]*$ ]]; then
        echo "fuzz-targets: --for=$seconds: expected seconds" >&2
        exit 2
      fi
      ;;
    -*)
      echo "usage: ci/fuzz-targets.sh [--for=SECONDS] [TARGET...]" >&2
      exit 2
      ;;
    *) targets+=("$argument") ;;
  esac
done

ci/setup.sh
configure build/targets clang++ -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  -DBUILD_TESTING=OFF -DLOCKSTEP_BENCHMARKS=OFF -DLOCKSTEP_FUZZERS=ON \
  -DLOCKSTEP_SANITIZE=ON
build build/targets lockstep_target_files
fuzzers=build/targets/fuzzers
if ((${#targets[@]} == 0)); then
  mapfile -t targets < <("$fuzzers/lockstep_target_files")
fi
build build/targets "${targets[@]}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p findings
"$fuzzers/lockstep_target_files" corpus "$work" "${targets[@]}"
found=0
for target in "${targets[@]}"; do
  # New inputs go into the first directory.
  mkdir "$work/$target"
  options=()
  if [[ -e $work/$target.dict ]]; then
    options=(-dict="$work/$target.dict")
  fi
  log=$work/$target.log
  if ! "$fuzzers/$target" -max_total_time=$((seconds / ${#targets[@]} + 1)) \
    -max_len=16384 -timeout=25 -rss_limit_mb=2560 -print_final_stats=1 \
    -artifact_prefix="findings/$target-" "${options[@]}" \
    "$work/$target" "$work/${target}_seeds" >"$log" 2>&1; then
    echo "$target: found something" >&2
    tail -n 60 "$log" >&2
    found=1
    continue
  fi
  # "#N DONE cov: ... ft: ... corp: ... exec/s: ..."
  echo "$target: $(grep -E '^#[0-9]+[[:space:]]+DONE' "$log" | tr -s '\t ' ' ')"
done
exit "$found"
