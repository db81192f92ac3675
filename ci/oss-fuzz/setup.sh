#!/bin/bash -eu
# Copyright 2026 The Lockstep Authors
# SPDX-License-Identifier: Apache-2.0
#
# Run once when OSS-Fuzz's or ClusterFuzzLite's image is made: puts what
# build.sh needs into it. The releases are those of Debian 12, which Lockstep is
# developed with. protoc is a tool of the build: it is built here, without
# sanitizers.

set -o pipefail

apt-get update
apt-get install --yes --no-install-recommends ninja-build zip

# fetch URL SHA256 DIRECTORY
fetch() {
  local archive
  archive=$(mktemp)
  curl --fail --location --silent --show-error --retry 3 --output "$archive" "$1"
  echo "$2  $archive" | sha256sum --check --strict
  mkdir -p "$3"
  tar -xzf "$archive" -C "$3" --strip-components=1
  rm "$archive"
}
fetch https://github.com/abseil/abseil-cpp/archive/refs/tags/20220623.1.tar.gz \
  91ac87d30cc6d79f9ab974c51874a704de9c2647c40f6932597329a282217ba8 \
  "$SRC/abseil-cpp"
# Types of its own, as Debian has it: no matter which C++ it is built as.
sed -i -E 's/^(#define ABSL_OPTION_USE_STD_[A-Z_]+) 2$/\1 0/' \
  "$SRC/abseil-cpp/absl/base/options.h"
fetch https://github.com/protocolbuffers/protobuf/archive/refs/tags/v21.12.tar.gz \
  22fdaf641b31655d4b2297f9981fa5203b2866f8332d3c6333f6b0107bb320de \
  "$SRC/protobuf"

build=$(mktemp -d)
env -u CFLAGS -u CXXFLAGS cmake -G Ninja -S "$SRC/protobuf" -B "$build" \
  -DCMAKE_BUILD_TYPE=Release -Dprotobuf_BUILD_TESTS=OFF \
  -Dprotobuf_WITH_ZLIB=OFF
cmake --build "$build" --target protoc
cp "$(realpath "$build/protoc")" /usr/local/bin/protoc
rm -rf "$build"
