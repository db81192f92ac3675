#!/usr/bin/env bash
# Copyright 2026 The Lockstep Authors
# SPDX-License-Identifier: Apache-2.0
#
# AFL++ runs the target of v4.9 with our mutator, from one empty input, until it
# finds a defect that is switched on, and what it found is replayed:
#
#   ci/afl.sh [DEFECT [SECONDS]]
#
# Status 0: found and replayed; 1: not found in that time (60 seconds if not
# given); 77: skipped, AFL++ is not here.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source ci/build.sh

defect=${1:-onfault-double-charge}
seconds=${2:-60}

for program in afl-fuzz afl-clang-fast++; do
  if ! command -v "$program" >/dev/null; then
    echo "ci/afl.sh: skipped: no $program (Debian: afl++)" >&2
    exit 77
  fi
done

# The mutator is loaded into afl-fuzz itself: it comes from a build without
# AFL++'s instrumentation, and so does what replays.
configure build/fuzz clang++ -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF
build build/fuzz lockstep lockstep_afl_mutator
configure build/afl afl-clang-fast++ -DCMAKE_BUILD_TYPE=Release \
  -DBUILD_TESTING=OFF -DLOCKSTEP_BENCHMARKS=OFF -DLOCKSTEP_FUZZERS=ON \
  -DLIB_FUZZING_ENGINE=-fsanitize=fuzzer
build build/afl lockstep_v4_9_fuzzer

mutator=$(find "$PWD/build/fuzz/fuzzers" -name '*lockstep_afl_mutator.so')
target=$PWD/build/afl/fuzzers/lockstep_v4_9_fuzzer
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/in"
# afl-fuzz takes no empty file; a line break is no program either.
echo >"$work/in/empty"

status=0
env AFL_CUSTOM_MUTATOR_LIBRARY="$mutator" AFL_CUSTOM_MUTATOR_ONLY=1 \
  AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_NO_AFFINITY=1 AFL_BENCH_UNTIL_CRASH=1 \
  AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 \
  LOCKSTEP_FUZZ_KERNEL=v4.9 LOCKSTEP_FUZZ_DEFECTS="none,+$defect" \
  afl-fuzz -V "$seconds" -i "$work/in" -o "$work/out" -- "$target" \
  >"$work/log" 2>&1 || status=$?

crash=$(find "$work/out" -path '*/crashes/id:*' 2>/dev/null | sort | head -n 1)
if [[ -z $crash ]]; then
  tail -n 20 "$work/log" >&2
  echo "ci/afl.sh: $defect not found in $seconds s (afl-fuzz: status $status)" >&2
  exit 1
fi
cp "$crash" "$work/crash.binpb"
echo "ci/afl.sh: $(basename "$crash")"
status=0
build/fuzz/tools/lockstep run "$work/crash.binpb" || status=$?
if ((status != 1)); then
  echo "ci/afl.sh: the crash does not replay, status $status, expected 1" >&2
  exit 1
fi
build/fuzz/tools/lockstep shrink "$work/crash.binpb"
