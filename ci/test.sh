#!/usr/bin/env bash
# Copyright 2026 The Lockstep Authors
# SPDX-License-Identifier: Apache-2.0
#
# Everything that must hold before a change goes in, cheapest first: format,
# clang and g++ builds without warnings, clang-tidy, all tests with g++, the
# unit tests and the corpus under AddressSanitizer and
# UndefinedBehaviorSanitizer, and last all tests with clang, whose summary is
# the last output.
#
# Two kinds of tests run with clang only, since what they run is the same
# whatever Lockstep is built with: those that boot kernels in QEMU, which are
# skipped by name where QEMU or a kernel (ci/fetch-kernels.sh) is missing, and
# the one that compiles a reproducer of every program in corpus/.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source ci/build.sh

say() { printf '\n== %s\n' "$*"; }

# Sources of ours: `find` rather than git, so that an exported tree does too.
sources() {
  find bench engine props tools -type f "$@" -print0 | sort -z
}
with_clang_only='GuestKernelTest|GuestTest|ReproCOfTheCorpus'
run_most_tests() {
  echo "left out here, run with clang below: $with_clang_only"
  run_tests "$@" --exclude-regex "$with_clang_only"
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

say "clang build, warnings are errors"
configure build/clang clang++ -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  -DLOCKSTEP_WERROR=ON
build build/clang

say "clang-tidy"
sources -name '*.cc' ! -name '*_test.cc' |
  xargs -0 -n 1 -P "$jobs" \
    clang-tidy -p build/clang --quiet --warnings-as-errors='*' 2>/dev/null

say "g++ build and tests, warnings are errors"
configure build/gcc g++ -DCMAKE_BUILD_TYPE=RelWithDebInfo -DLOCKSTEP_WERROR=ON
build build/gcc
run_most_tests build/gcc --progress

say "AddressSanitizer and UndefinedBehaviorSanitizer"
configure build/sanitize clang++ -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  -DLOCKSTEP_SANITIZE=ON
build build/sanitize
run_most_tests build/sanitize --progress

say "clang tests"
run_tests build/clang
