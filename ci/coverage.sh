#!/usr/bin/env bash
# Copyright 2026 The Lockstep Authors
# SPDX-License-Identifier: Apache-2.0
#
# What of the reference engine the seed corpora alone reach: replays them through
# the targets, built with clang's source-based coverage, and prints a table of
# lines and branches, a row a file, and below it the lines that are not reached.
#
#   ci/coverage.sh [FILE-OR-DIRECTORY...]      engine/reference if none is named
#
# Exit status: 0; 1 a target fails; 3 something is missing here.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source ci/build.sh

# LLVM's tools of the compiler's own version.
version=$(clang++ -dumpversion | cut -d . -f 1)
for tool in llvm-profdata llvm-cov; do
  if ! command -v "$tool-$version" >/dev/null; then
    echo "coverage: no $tool-$version here; Debian has it in llvm-$version" >&2
    exit 3
  fi
done

if (($# == 0)); then
  set -- engine/reference
fi

configure build/coverage clang++ -DCMAKE_BUILD_TYPE=None -DBUILD_TESTING=OFF \
  -DLOCKSTEP_BENCHMARKS=OFF \
  -DCMAKE_CXX_FLAGS='-O1 -fprofile-instr-generate -fcoverage-mapping'
build build/coverage lockstep_target_files
fuzzers=build/coverage/fuzzers
export LLVM_PROFILE_FILE=/dev/null
mapfile -t targets < <("$fuzzers/lockstep_target_files")
build build/coverage "${targets[@]}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$fuzzers/lockstep_target_files" corpus "$work" "${targets[@]}"
objects=()
for target in "${targets[@]}"; do
  objects+=(-object "$fuzzers/$target")
  LLVM_PROFILE_FILE="$work/$target.profraw" \
    "$fuzzers/$target" "$work/${target}_seeds" >&2
done
"llvm-profdata-$version" merge -o "$work/all.profdata" "$work"/*.profraw

# report [OPTION...]: in one form for the table and the list.
cover() {
  local command=$1
  shift
  "llvm-cov-$version" "$command" "${objects[@]}" \
    -instr-profile="$work/all.profdata" "$@"
}
# The columns of lines and of branches, whatever stands between.
cover report --show-functions=false --show-region-summary=false "$@" |
  grep -Ev '^(-|$)' | awk '
    $1 == "Filename" { printf "%-40s %8s %8s %7s %9s %8s %7s\n", "file",
      "lines", "missed", "", "branches", "missed", ""; next }
    $1 == "Files" || NF < 10 { next }
    { printf "%-40s %8d %8d %7s %9d %8d %7s\n", $1, $5, $6, $7, $8, $9, $10 }'

echo
echo 'not reached:'
# A line of `show`: number|count|text, counts as 12 or 1.2k, none for no code.
cover show "$@" --show-line-counts-or-regions=false --show-branches=count |
  awk -v root="$PWD/" '
    /^\/.*:$/ { file = substr($0, 1, length($0) - 1); sub(root, "", file) }
    /^ *[0-9]+\| +0\|/ {
      text = $0; sub(/^ *[0-9]+\| +0\|/, "", text)
      split($0, part, "|"); number = part[1] + 0
      if (text ~ /[A-Za-z0-9]/) print file ":" number ":" text
    }'
