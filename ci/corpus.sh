#!/usr/bin/env bash
# Copyright 2026 The Lockstep Authors
# SPDX-License-Identifier: Apache-2.0
#
# Keeps a corpus that fuzzing grows. A corpus is a directory of inputs of one
# target; the target is a libFuzzer or an AFL++ executable.
#
#   ci/corpus.sh merge TARGET CORPUS FROM...   adds those inputs of FROM that
#                                              reach something new
#   ci/corpus.sh minimise TARGET CORPUS        leaves the smallest inputs that
#                                              together reach the same
#
# The new corpus is written beside the old one and renamed when it is whole; the
# old one stays as CORPUS.before, which must not exist yet. A new corpus that is
# empty, or that lost what the target said that it reaches, is not taken.
#
# Exit status: 0; 1 the corpus was left as it is (stderr says why); 2 usage.

set -euo pipefail

usage() {
  sed -n 's/^#   ci/usage: ci/p' "${BASH_SOURCE[0]}" >&2
  exit 2
}
fail() {
  echo "corpus: $*; $corpus is as it was" >&2
  exit 1
}

(($# >= 3)) || usage
command=$1 target=$(realpath "$2") corpus=${3%/}
shift 3
case $command in
  merge) (($# > 0)) || usage ;;
  minimise) (($# == 0)) || usage ;;
  *) usage ;;
esac
if [[ ! -x $target ]]; then
  echo "corpus: $target is no executable" >&2
  exit 2
fi
before=$corpus.before
if [[ -e $before ]]; then
  if [[ -e $corpus ]]; then
    fail "$before is there: look at it and remove it first"
  fi
  # Stopped between the two renames.
  echo "corpus: $corpus is gone, $before is there: taking that back" >&2
  mv -T "$before" "$corpus"
fi
for directory in "$corpus" "$@"; do
  [[ -d $directory ]] || fail "$directory is no directory"
done

new=$(mktemp -d "$corpus.new.XXXXXX")
log=$new.log all=$new.all
trap 'rm -rf "$new" "$log" "$all"' EXIT

# features DIRECTORY: how much libFuzzer sees the inputs reach.
features() {
  "$target" -runs=0 "$1" 2>&1 | tee "$log" |
    sed -n 's/.*INITED.* ft: \([0-9]*\).*/\1/p' | tail -n 1
}

# AFL++'s driver takes what is no file for a wish to read standard input.
help=$(timeout 20 "$target" -help=1 </dev/null 2>&1 || true)
if [[ $help == *merge_control_file* ]]; then
  directories=("$corpus" "$@")
  # merge keeps what is there first; minimise chooses afresh, smallest first.
  if [[ $command == merge ]]; then
    find "$corpus" -maxdepth 1 -type f -exec cp -t "$new" {} +
    directories=("$@")
  fi
  if ! "$target" -merge=1 "$new" "${directories[@]}" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    fail "$target could not merge"
  fi
  had=$(features "$corpus")
  has=$(features "$new")
  [[ -n $had && -n $has ]] || fail "$target did not say what it reaches"
  ((has >= had)) || fail "the new corpus reaches $has features, the old one $had"
elif command -v afl-cmin >/dev/null; then
  mkdir "$all"
  for directory in "$corpus" "$@"; do
    # Names of different corpora may be the same.
    while IFS= read -r -d '' file; do
      cp "$file" "$all/$(sha1sum "$file" | cut -c 1-40)"
    done < <(find "$directory" -maxdepth 1 -type f -print0)
  done
  rmdir "$new"
  if ! AFL_SKIP_CPUFREQ=1 afl-cmin -m none -t 5000 -i "$all" -o "$new" -- \
    "$target" @@ >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    fail "afl-cmin could not merge"
  fi
else
  fail "$target knows no -merge and there is no afl-cmin"
fi

count() { find "$1" -maxdepth 1 -type f | wc -l; }
(($(count "$new") > 0)) || fail "the new corpus is empty"
echo "corpus: $(count "$corpus") inputs before, $(count "$new") now;" \
  "the old ones are in $before" >&2
sync -f "$new"
mv -T "$corpus" "$before"
mv -T "$new" "$corpus"
