#!/usr/bin/env bash
# Copyright 2026 The Lockstep Authors
# SPDX-License-Identifier: Apache-2.0
#
# Does what OSS-Fuzz does with ci/oss-fuzz/build.sh, without its image: builds
# with its flags for each engine and sanitizer, moves $OUT elsewhere and there
# looks at and starts every target as its bad_build_check does.
#
#   ci/check-oss-fuzz.sh [--libcxx=DIRECTORY] [ENGINE-SANITIZER...]
#
# All of libfuzzer-address, libfuzzer-undefined, libfuzzer-coverage and
# afl-address if none is named. With --libcxx, DIRECTORY holds the sources of
# abseil and protobuf (abseil-cpp/, protobuf/), which are built with
# -stdlib=libc++ as in the image; without it the C++ library and the packages of
# this machine are taken. Builds stay in build/oss-fuzz/.
#
# Exit status: 0 every target of every build is good; 1 one is not; 2 usage; 3
# something is missing here (stderr says what).

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source ci/oss-fuzz/local.sh

all=(libfuzzer-address libfuzzer-undefined libfuzzer-coverage afl-address)
wanted=()
sources=
for argument in "$@"; do
  case $argument in
    --libcxx=*) sources=$(realpath "${argument#*=}") ;;
    *)
      if [[ " ${all[*]} " != *" $argument "* ]]; then
        echo "check-oss-fuzz: '$argument' is none of ${all[*]}" >&2
        exit 2
      fi
      wanted+=("$argument")
      ;;
  esac
done
((${#wanted[@]} > 0)) || wanted=("${all[@]}")

need() {
  local tool
  for tool in "$@"; do
    if ! command -v "$tool" >/dev/null; then
      echo "check-oss-fuzz: no $tool here" >&2
      exit 3
    fi
  done
}
need clang clang++ cmake ninja zip unzip ldd objdump
if [[ " ${wanted[*]} " == *" afl-"* ]]; then
  need afl-clang-fast afl-clang-fast++ afl-fuzz
fi

# What the machine that runs targets has for sure.
system_libraries='^(linux-vdso|/lib64/ld-linux-x86-64|ld-linux-x86-64|libc|libm|libdl|libpthread|librt|libresolv)\.so'

bad=0
complain() {
  echo "BAD: $*" >&2
  bad=$((bad + 1))
}

# run LOG COMMAND...: in the environment that targets get. afl-fuzz wants
# symbolize=0.
run() {
  local log=$1
  shift
  (cd "$scratch" && env -i PATH=/usr/bin:/bin HOME=/nonexistent \
    ASAN_OPTIONS=detect_leaks=1:abort_on_error=1:symbolize=0 \
    UBSAN_OPTIONS=silence_unsigned_overflow=1:print_stacktrace=1 \
    LLVM_PROFILE_FILE="$log.profraw" AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 \
    AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_FORKSRV_INIT_TMOUT=30000 \
    timeout --signal=INT 300 "$@") >"$log" 2>&1
}

# calls TARGET PREFIX: calls of a sanitizer's functions in the target.
calls() {
  objdump --disassemble --no-show-raw-insn "$1" |
    grep -c "call.*<__$2_" || true
}

check_target() {
  local engine=$1 sanitizer=$2 target=$3 scratch=$4
  local name log
  name=$(basename "$target")
  log=$scratch/$name.log
  if [[ ! $name =~ ^[A-Za-z0-9_-]+$ ]]; then
    complain "$name: OSS-Fuzz takes letters, digits, _ and - only"
  fi
  local others
  others=$(ldd "$target" | awk '{print $1}' | grep -Ev "$system_libraries" || true)
  if [[ -n $others ]]; then
    complain "$name needs libraries that may be missing: ${others//$'\n'/ }"
  fi
  local seen
  case $sanitizer in
    address)
      seen=$(calls "$target" asan)
      ((seen > 1000)) || complain "$name: $seen calls of ASan"
      ;;
    undefined)
      seen=$(calls "$target" ubsan)
      ((seen > 168)) || complain "$name: $seen calls of UBSan"
      ;;
  esac

  local seeds=$scratch/$name.seeds
  mkdir "$seeds"
  if ! unzip -q "${target}_seed_corpus.zip" -d "$seeds"; then
    complain "$name has no seed corpus"
    return
  fi
  local options=()
  if [[ -e $target.dict ]]; then
    options=("$target.dict")
  fi
  case $engine in
    libfuzzer)
      # A few runs without seeds; flags and `--` that no engine knows. Without
      # counters, as built for coverage, libFuzzer does not run without seeds.
      local start=(-runs=4) done='Done 4 runs'
      if [[ $sanitizer == coverage ]]; then
        start=(-runs=0 "$seeds")
        done='Done [0-9]+ runs'
      fi
      if ! run "$log" "$target" -seed=1337 "${start[@]}" -- --no-such-flag=1 \
        -no_such_flag=1 || ! grep -Eq "$done" "$log"; then
        complain "$name does not start"
        tail -n 20 "$log" >&2
      fi
      if ! run "$log" "$target" -runs=0 "${options[@]/#/-dict=}" "$seeds"; then
        complain "$name does not get through its seed corpus"
        tail -n 20 "$log" >&2
      fi
      if [[ $sanitizer == coverage ]]; then
        [[ -s $log.profraw ]] || complain "$name writes no profile"
      elif ! grep -Eq 'INFO: Loaded .*\([0-9]{3,} inline 8-bit counters\)|INFO: Loaded [0-9]+ modules? +\([0-9]{3,}' "$log"; then
        complain "$name has hardly any coverage"
        head -n 5 "$log" >&2
      fi
      ;;
    afl)
      # Each seed once, as the driver runs files.
      if ! run "$log" "$target" "$seeds"/*; then
        complain "$name does not get through its seed corpus"
        tail -n 20 "$log" >&2
      fi
      # A few seeds: calibration of all would take minutes.
      mkdir "$scratch/$name.few"
      find "$seeds" -type f | LC_ALL=C sort | awk 'NR % 40 == 1' |
        xargs cp -t "$scratch/$name.few"
      run "$log" afl-fuzz -i "$scratch/$name.few" -o "$scratch/$name.afl" -V 5 \
        -m none -t 5000+ "${options[@]/#/-x}" -- "$target" -- --no-such-flag || true
      if ! grep -q 'All set and ready to roll' "$log"; then
        complain "$name does not start under afl-fuzz"
        tail -n 20 "$log" >&2
      elif grep -Eq 'target binary (crashed|terminated)' "$log"; then
        complain "$name crashes under afl-fuzz"
        tail -n 20 "$log" >&2
      fi
      ;;
  esac
  echo "$engine $sanitizer $name: $(find "$seeds" -type f | wc -l) seeds"
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
checked=0
for combination in "${wanted[@]}"; do
  engine=${combination%-*}
  sanitizer=${combination#*-}
  work=$PWD/build/oss-fuzz/$combination${sources:+-libcxx}
  echo "== $combination" >&2
  mkdir -p "$work"
  if ! oss_fuzz_build "$engine" "$sanitizer" "$work" "$sources" >"$work/build.log" 2>&1; then
    complain "$combination does not build: $work/build.log ends with"
    tail -n 20 "$work/build.log" >&2
    continue
  fi
  # Elsewhere, where nothing of the build is.
  elsewhere=$scratch/$combination
  mv "$work/out" "$elsewhere"
  for target in "$elsewhere"/*; do
    [[ -x $target && ! $(basename "$target") == *.* ]] || continue
    mkdir -p "$scratch/run-$combination"
    check_target "$engine" "$sanitizer" "$target" "$scratch/run-$combination"
    checked=$((checked + 1))
  done
  rm -rf "$elsewhere" "$scratch/run-$combination"
done
echo "$checked targets checked, $bad complaints"
((checked > 0 && bad == 0))
