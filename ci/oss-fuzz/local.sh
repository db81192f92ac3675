# Copyright 2026 The Lockstep Authors
# SPDX-License-Identifier: Apache-2.0
#
# Sourced by scripts of ci/: build.sh run as OSS-Fuzz runs it, without its image.
# shellcheck shell=bash

# The image's flags.
undefined=array-bounds,bool,builtin,enum,function,integer-divide-by-zero,null
undefined+=,object-size,return,returns-nonnull-attribute,shift
undefined+=,signed-integer-overflow,unreachable,vla-bound,vptr
declare -A sanitizer_flags=(
  [address]='-fsanitize=address -fsanitize-address-use-after-scope'
  [undefined]="-fsanitize=$undefined,unsigned-integer-overflow -fno-sanitize-recover=$undefined"
  [coverage]='-fprofile-instr-generate -fcoverage-mapping -pthread -Wl,--no-as-needed -Wl,-ldl -Wl,-lm -Wno-unused-command-line-argument'
)
base_flags='-O1 -fno-omit-frame-pointer -gline-tables-only -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION'

# oss_fuzz_build ENGINE SANITIZER WORK [SOURCES]: into WORK/out, in an environment
# like the image's. SOURCES: the libraries' own, built with libc++.
oss_fuzz_build() {
  local engine=$1 sanitizer=$2 work=$3 sources=${4:-}
  local src=$work/src out=$work/out flags="$base_flags ${sanitizer_flags[$2]}"
  rm -rf "$src" "$out"
  mkdir -p "$src" "$out"
  ln -s "$PWD" "$src/lockstep"
  local cc=clang cxx=clang++ library=-fsanitize=fuzzer
  if [[ $engine == afl ]]; then
    cc=afl-clang-fast
    cxx=afl-clang-fast++
    library=$(dirname "$(readlink -f "$(command -v afl-clang-fast)")")/../lib/afl/libAFLDriver.a
  elif [[ $sanitizer != coverage ]]; then
    flags+=' -fsanitize=fuzzer-no-link'
  fi
  local cxxflags=$flags
  if [[ -n $sources ]]; then
    ln -s "$sources/abseil-cpp" "$sources/protobuf" "$src/"
    cxxflags+=' -stdlib=libc++'
  fi
  # CMake's own variable: the compiler may be cached, build.sh need not know.
  local launcher=()
  if command -v ccache >/dev/null; then
    launcher=(CMAKE_CXX_COMPILER_LAUNCHER=ccache)
  fi
  # Coverage maps hold the names of files. What is cached may have been compiled
  # under another name.
  if [[ $sanitizer == coverage ]]; then
    launcher+=(CCACHE_DISABLE=1)
  fi
  env -i PATH="$PATH" HOME="${HOME:-/}" "${launcher[@]}" \
    CC="$cc" CXX="$cxx" CFLAGS="$flags" CXXFLAGS="$cxxflags" \
    LIB_FUZZING_ENGINE="$library" SRC="$src" OUT="$out" WORK="$work" \
    SANITIZER="$sanitizer" ARCHITECTURE=x86_64 AFL_QUIET=1 \
    ASAN_OPTIONS=detect_leaks=0:symbolize=0:abort_on_error=1 \
    UBSAN_OPTIONS=silence_unsigned_overflow=1 \
    bash -eu ci/oss-fuzz/build.sh
}
