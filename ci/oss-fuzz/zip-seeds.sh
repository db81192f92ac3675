#!/usr/bin/env bash
# Copyright 2026 The Lockstep Authors
# SPDX-License-Identifier: Apache-2.0
#
# zip-seeds.sh DIRECTORY ZIP: the files of a directory as a seed corpus. The same
# files give the same bytes, whoever packs them and when.

set -euo pipefail

if (($# != 2)); then
  echo "usage: ci/oss-fuzz/zip-seeds.sh DIRECTORY ZIP" >&2
  exit 2
fi
zip=$(realpath "$2")
rm -f "$zip"
cd "$1"
# The format's times are local and begin in 1980.
export TZ=UTC
find . -type f -exec touch --date='1980-01-01 00:00:00' {} +
find . -type f -printf '%P\n' | LC_ALL=C sort | zip --quiet -X -9 -@ "$zip"
