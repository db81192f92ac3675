#!/usr/bin/env bash
# Copyright 2026 The Lockstep Authors
# SPDX-License-Identifier: Apache-2.0
#
# Installs the Debian packages that building and testing need and that are not
# there yet. Run it as often as you like: when nothing is missing it does
# nothing and asks for no rights.
#
# Exit status: 0 everything is there; 3 something is missing and cannot be
# installed here (stderr says what).

set -euo pipefail

packages=(
  ccache
  clang
  clang-format
  clang-tidy
  cmake
  g++
  libabsl-dev
  libbenchmark-dev
  libclang-rt-14-dev
  libgmock-dev
  libgtest-dev
  libprotobuf-dev
  librapidcheck-dev
  ninja-build
  pkg-config
  protobuf-compiler
  qemu-system-x86
)

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "setup: this script knows Debian 12 only (no dpkg or apt-get here)." \
    "Install what these packages hold by other means: ${packages[*]}" >&2
  exit 3
fi

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" \
    2>/dev/null || true)
  # A package of several architectures answers once for each.
  [[ $status == installed* ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
  exit 0
fi

as_root=()
if ((EUID != 0)); then
  # -n: never wait for a password in a script.
  if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
    echo "setup: these packages are missing: ${missing[*]}" >&2
    echo "setup: neither root nor password-less sudo here; run as root:" \
      "apt-get install ${missing[*]}" >&2
    exit 3
  fi
  as_root=(sudo -n)
fi

echo "setup: installing ${missing[*]}" >&2
apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get \
    -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 --quiet --yes "$@" >&2
}
if ! apt update || ! apt install --no-install-recommends "${missing[@]}"; then
  echo "setup: could not install: ${missing[*]}" >&2
  exit 3
fi
