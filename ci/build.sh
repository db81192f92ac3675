# Copyright 2026 The Lockstep Authors
# SPDX-License-Identifier: Apache-2.0
#
# Sourced by the other scripts: configure and build in one way.
# shellcheck shell=bash

jobs=$(nproc)

# configure DIRECTORY CXX [CMAKE-ARGUMENT...]
configure() {
  local directory=$1 compiler=$2
  shift 2
  local launcher=()
  if command -v ccache >/dev/null; then
    launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  fi
  # Everything but failures to stderr: stdout belongs to what is run after.
  cmake -G Ninja -S . -B "$directory" -DCMAKE_CXX_COMPILER="$compiler" \
    "${launcher[@]}" "$@" >&2
}

# build DIRECTORY [TARGET...]
build() {
  local directory=$1
  shift
  local targets=()
  if (($# > 0)); then
    targets=(--target "$@")
  fi
  cmake --build "$directory" --parallel "$jobs" "${targets[@]}" >&2
}
