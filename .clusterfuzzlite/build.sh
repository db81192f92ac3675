#!/bin/bash -eu
# Copyright 2026 The Lockstep Authors
# SPDX-License-Identifier: Apache-2.0

exec "$SRC/lockstep/ci/oss-fuzz/build.sh"
