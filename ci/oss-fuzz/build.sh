#!/bin/bash -eu
# Copyright 2026 The Lockstep Authors
# SPDX-License-Identifier: Apache-2.0
#
# Builds the fuzz targets as OSS-Fuzz and ClusterFuzzLite want them: into $OUT
# each target that can run for ever anywhere, and beside it its seed corpus,
# dictionary and options. Everything about compilers, sanitizers and engines
# comes from the infrastructure: $CC $CXX $CFLAGS $CXXFLAGS $LIB_FUZZING_ENGINE
# $SRC $OUT $WORK $SANITIZER $ARCHITECTURE. The repository is $SRC/lockstep.
#
# abseil and protobuf are built with the same flags where their sources are
# ($SRC/abseil-cpp, $SRC/protobuf: setup.sh puts them there); otherwise the
# installed ones are taken.

set -o pipefail

if [[ $ARCHITECTURE != x86_64 ]]; then
  echo "build.sh: Lockstep knows x86_64 only, not $ARCHITECTURE" >&2
  exit 1
fi

# Nothing that is run in the build is the subject of the sanitizer.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
export LLVM_PROFILE_FILE=/dev/null

# cmake_build NAME SOURCE TARGET... -- CMAKE-ARGUMENT...: $CFLAGS and $CXXFLAGS
# are taken from the environment; the build type adds nothing to them.
cmake_build() {
  local directory=$WORK/$1-$SANITIZER source=$2
  shift 2
  local targets=()
  while [[ $1 != -- ]]; do
    targets+=("$1")
    shift
  done
  shift
  cmake -G Ninja -S "$source" -B "$directory" -DCMAKE_BUILD_TYPE=None \
    -DCMAKE_CXX_STANDARD=20 -DBUILD_TESTING=OFF "$@"
  cmake --build "$directory" --target "${targets[@]}"
}

libraries=()
if [[ -d $SRC/abseil-cpp && -d $SRC/protobuf ]]; then
  installed=$WORK/installed-$SANITIZER
  cmake_build abseil-cpp "$SRC/abseil-cpp" install -- \
    -DCMAKE_INSTALL_PREFIX="$installed" -DCMAKE_INSTALL_LIBDIR=lib \
    -DABSL_PROPAGATE_CXX_STD=ON -DCMAKE_POSITION_INDEPENDENT_CODE=ON
  cmake_build protobuf "$SRC/protobuf" install -- \
    -DCMAKE_INSTALL_PREFIX="$installed" -DCMAKE_INSTALL_LIBDIR=lib \
    -Dprotobuf_BUILD_TESTS=OFF -Dprotobuf_BUILD_PROTOC_BINARIES=OFF \
    -Dprotobuf_WITH_ZLIB=OFF -DCMAKE_POSITION_INDEPENDENT_CODE=ON
  libraries=(-DCMAKE_PREFIX_PATH="$installed")
fi

build() {
  cmake_build lockstep "$SRC/lockstep" "$@" -- \
    -DLOCKSTEP_FUZZERS=ON -DLIB_FUZZING_ENGINE="$LIB_FUZZING_ENGINE" \
    -DLOCKSTEP_BENCHMARKS=OFF -DLOCKSTEP_STATIC=ON "${libraries[@]}"
}
build lockstep_target_files
fuzzers=$WORK/lockstep-$SANITIZER/fuzzers
mapfile -t targets < <("$fuzzers/lockstep_target_files")
((${#targets[@]} > 0))
build "${targets[@]}"

files=$WORK/files-$SANITIZER
rm -rf "$files"
mkdir -p "$files"
"$fuzzers/lockstep_target_files" "$SRC/lockstep/corpus" "$files" "${targets[@]}"
for target in "${targets[@]}"; do
  cp "$fuzzers/$target" "$files/$target.options" "$OUT/"
  if [[ -e $files/$target.dict ]]; then
    cp "$files/$target.dict" "$OUT/"
  fi
  "$SRC/lockstep/ci/oss-fuzz/zip-seeds.sh" "$files/${target}_seeds" \
    "$OUT/${target}_seed_corpus.zip"
done
