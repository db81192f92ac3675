#!/usr/bin/env bash
# Copyright 2026 The Lockstep Authors
# SPDX-License-Identifier: Apache-2.0
#
# Everything that must hold before a change goes in: format; a clang build
# without warnings, under AddressSanitizer and UndefinedBehaviorSanitizer, with
# clang-tidy and the unit tests and the corpus; a g++ build without warnings with
# all tests, whose summary is the last output. Two builds, not three: the whole
# has to stay under half an hour on two cores.
#
# Two kinds of tests run with g++ only, since what they run is the same whatever
# Lockstep is built with: those that boot kernels in QEMU, which are skipped by
# name where QEMU or a kernel (ci/fetch-kernels.sh) is missing, and the one that
# compiles a reproducer of every program in corpus/.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source ci/build.sh

say() { printf '\n== %s\n' "$*"; }

# Sources of ours: `find` rather than git, so that an exported tree does too.
sources() {
  find bench engine fuzzers props tools -type f "$@" -print0 | sort -z
}
once_only='GuestKernelTest|GuestTest|JudgedTest.EachRow|ReproCOfTheCorpus'
run_most_tests() {
  echo "left out here, run with g++ below: $once_only"
  run_tests "$@" --exclude-regex "$once_only"
}
run_tests() {
  local directory=$1
  shift
  ctest --test-dir "$directory" --parallel "$jobs" --output-on-failure \
    --no-tests=error --timeout 600 "$@"
}

say "set-up"
ci/setup.sh

say "clang-format"
sources '(' -name '*.h' -o -name '*.cc' ')' |
  xargs -0 clang-format --dry-run -Werror

say "clang build with sanitizers, warnings are errors"
configure build/sanitize clang++ -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  -DLOCKSTEP_SANITIZE=ON -DLOCKSTEP_WERROR=ON
build build/sanitize

say "clang-tidy"
sources -name '*.cc' ! -name '*_test.cc' |
  xargs -0 -n 1 -P "$jobs" \
    clang-tidy -p build/sanitize --quiet --warnings-as-errors='*' 2>/dev/null

say "tests under AddressSanitizer and UndefinedBehaviorSanitizer"
run_most_tests build/sanitize --progress

say "g++ build and tests, warnings are errors"
configure build/gcc g++ -DCMAKE_BUILD_TYPE=RelWithDebInfo -DLOCKSTEP_WERROR=ON
build build/gcc
run_tests build/gcc
