#!/usr/bin/env bash
# Copyright 2026 The Lockstep Authors
# SPDX-License-Identifier: Apache-2.0
#
# The main job: builds lockstep and hunts on v3.12, then on v4.9, 30 seconds
# each. What is found is written to findings/. Arguments go to `lockstep fuzz`
# and win over the ones here:
#
#   ci/fuzz.sh --for=5m --defect=none
#
# Findings are what this job is for: violations found end with 0. Any other
# failure of `lockstep fuzz` is passed on.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source ci/build.sh

ci/setup.sh
configure build/fuzz clang++ -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF
build build/fuzz lockstep

hunt() {
  local status=0
  build/fuzz/tools/lockstep fuzz "$@" || status=$?
  # 1: a property was violated.
  ((status <= 1)) || exit "$status"
}
hunt --kernel=v3.12 --for=30s --out=findings "$@"
hunt --kernel=v4.9 --for=30s --out=findings "$@"
