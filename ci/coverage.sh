#!/usr/bin/env bash
# Copyright 2026 The Lockstep Authors
# SPDX-License-Identifier: Apache-2.0
#
# What of the reference engine the seed corpora alone reach: replays them through
# the targets, built with clang's source-based coverage, and prints a table of
# lines and branches, a row a file, and below it the lines that are not reached.
#
#   ci/coverage.sh [--at-least=PERCENT] [FILE-OR-DIRECTORY...]
#
# engine/reference if none is named. Exit status: 0; 1 a target fails, or fewer
# lines are reached than PERCENT; 2 usage; 3 something is missing here.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source ci/oss-fuzz/local.sh

at_least=0
if [[ ${1:-} == --at-least=* ]]; then
  at_least=${1#*=}
  if [[ ! $at_least =~ ^[0-9]+(\.[0-9]+)?$ ]]; then
    echo "coverage: --at-least=$at_least: expected a number of percent" >&2
    exit 2
  fi
  shift
fi

for tool in clang++ cmake ninja zip unzip; do
  if ! command -v "$tool" >/dev/null; then
    echo "coverage: no $tool here" >&2
    exit 3
  fi
done
# LLVM's tools of the compiler's own version.
version=$(clang++ -dumpversion | cut -d . -f 1)
for tool in llvm-profdata llvm-cov; do
  if ! command -v "$tool-$version" >/dev/null; then
    echo "coverage: no $tool-$version here; Debian has it in llvm-$version" >&2
    exit 3
  fi
done

# As OSS-Fuzz builds them for its own reports.
build=$PWD/build/oss-fuzz/libfuzzer-coverage
mkdir -p "$build"
if ! oss_fuzz_build libfuzzer coverage "$build" >"$build/build.log" 2>&1; then
  echo "coverage: no build; $build/build.log ends with" >&2
  tail -n 20 "$build/build.log" >&2
  exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
objects=()
for seeds in "$build"/out/*_seed_corpus.zip; do
  target=${seeds%_seed_corpus.zip}
  name=${target##*/}
  # The first is an argument, the others are options.
  objects+=(${objects:+-object} "$target")
  unzip -q "$seeds" -d "$work/$name.seeds"
  if ! LLVM_PROFILE_FILE="$work/$name.profraw" \
    "$target" -runs=0 "$work/$name.seeds" >"$work/$name.log" 2>&1; then
    tail -n 20 "$work/$name.log" >&2
    exit 1
  fi
done
"llvm-profdata-$version" merge -o "$work/all.profdata" "$work"/*.profraw

# The paths that the compiler was given.
root=$build/src/lockstep/
(($# > 0)) || set -- engine/reference
paths=("${@/#/$root}")
# cover COMMAND [OPTION...]
cover() {
  local command=$1
  shift
  "llvm-cov-$version" "$command" "${objects[@]}" \
    -instr-profile="$work/all.profdata" "$@" "${paths[@]}"
}
# The columns of lines and of branches, whatever stands between.
table=$(cover report --show-functions=false --show-region-summary=false |
  grep -Ev '^(-|$)' | awk -v sort='LC_ALL=C sort' '
    $1 == "Filename" { printf "%-40s %8s %8s %7s %9s %8s %7s\n", "file",
      "lines", "missed", "", "branches", "missed", ""; fflush(); next }
    $1 == "Files" || NF < 10 { next }
    { row = sprintf("%-40s %8d %8d %7s %9d %8d %7s", $1, $5, $6, $7, $8, $9, $10) }
    $1 == "TOTAL" { total = row; next }
    { print row | sort }
    END { close(sort); print total }')
echo "$table"

echo
echo 'not reached:'
# A line of `show`: number|count|text, counts as 12 or 1.2k, none for no code.
cover show --show-line-counts-or-regions=false --show-branches=count |
  awk -v root="$root" '
    /^\/.*:$/ { file = substr($0, 1, length($0) - 1); sub(root, "", file) }
    /^ *[0-9]+\| +0\|/ {
      text = $0; sub(/^ *[0-9]+\| +0\|/, "", text)
      split($0, part, "|"); number = part[1] + 0
      if (text ~ /[A-Za-z0-9]/) print file ":" number ":" text
    }'

reached=$(awk '$1 == "TOTAL" { print $4 + 0 }' <<<"$table")
if ! awk -v reached="$reached" -v least="$at_least" \
  'BEGIN { exit reached < least }'; then
  echo "coverage: $reached % of the lines are reached, expected $at_least %" >&2
  exit 1
fi
