#!/usr/bin/env bash
# Copyright 2026 The Lockstep Authors
# SPDX-License-Identifier: Apache-2.0
#
# Fetches the kernels that guests run, Debian's cloud kernels for amd64, from
# Debian's archive into the cache directory. Nothing is installed and no rights
# are asked for:
#
#   ci/fetch-kernels.sh [VERSION...]      6.1 and 6.12 if none is named
#
# puts kernels/6.1/vmlinuz and kernels/6.1/package, which names what it came
# from, into $LOCKSTEP_CACHE, else $XDG_CACHE_HOME/lockstep, else
# $HOME/.cache/lockstep. What is there already stays as it is; --update replaces
# it by the archive's newest. apt checks the archive's signature and the
# package's hash before dpkg unpacks it.
#
# Exit status: 0 every kernel is there; 1 wrong usage; 3 a kernel cannot be had
# here (stderr says which and why).

set -euo pipefail

update=no
versions=()
for argument in "$@"; do
  case $argument in
    --update) update=yes ;;
    [0-9]*.[0-9]*)
      if [[ ! $argument =~ ^[0-9]+\.[0-9]+$ ]]; then
        echo "fetch-kernels: '$argument' is no version such as 6.1" >&2
        exit 1
      fi
      versions+=("$argument")
      ;;
    *)
      echo "usage: ci/fetch-kernels.sh [--update] [VERSION...]" >&2
      exit 1
      ;;
  esac
done
if ((${#versions[@]} == 0)); then
  versions=(6.1 6.12)
fi

if [[ -n ${LOCKSTEP_CACHE:-} ]]; then
  cache=$LOCKSTEP_CACHE
elif [[ -n ${XDG_CACHE_HOME:-} ]]; then
  cache=$XDG_CACHE_HOME/lockstep
elif [[ -n ${HOME:-} ]]; then
  cache=$HOME/.cache/lockstep
else
  echo "fetch-kernels: none of LOCKSTEP_CACHE, XDG_CACHE_HOME and HOME is set" >&2
  exit 1
fi

# newest_package VERSION: the package with the newest kernel of that series that
# apt knows, unsigned variants and those with debug information aside.
newest_package() {
  apt-cache search --names-only \
    "^linux-image-${1//./\\.}\\.[0-9].*-cloud-amd64\$" |
    cut -d ' ' -f 1 | sort --version-sort | tail -n 1
}

# fetch VERSION: in a shell of its own, whose end removes what is half done.
fetch() (
  local version=$1
  local directory=$cache/kernels/$version
  if [[ -s $directory/vmlinuz && $update == no ]]; then
    echo "fetch-kernels: $version is there: $directory/vmlinuz" >&2
    return 0
  fi
  local tool
  for tool in apt-get apt-cache dpkg; do
    if ! command -v "$tool" >/dev/null; then
      echo "fetch-kernels: no $tool here: put a bzImage of Linux $version at" \
        "$directory/vmlinuz by other means" >&2
      return 3
    fi
  done
  local package
  package=$(newest_package "$version")
  if [[ -z $package ]]; then
    echo "fetch-kernels: apt knows no linux-image-$version.*-cloud-amd64;" \
      "is it in /etc/apt/sources.list, and did 'apt-get update' run?" >&2
    return 3
  fi
  local work
  if ! mkdir -p "$directory" ||
    ! work=$(mktemp -d "$directory/.fetch.XXXXXX"); then
    return 3
  fi
  trap 'rm -rf "$work"' EXIT
  # apt's own helper user may not write here: it says so and goes on as us.
  if ! (cd "$work" && apt-get --quiet -o Acquire::Retries=3 \
    -o APT::Sandbox::User=root download "$package" >&2); then
    echo "fetch-kernels: could not download $package" >&2
    return 3
  fi
  local deb=("$work"/*.deb)
  if ! dpkg -x "${deb[0]}" "$work/root"; then
    echo "fetch-kernels: could not unpack ${deb[0]}" >&2
    return 3
  fi
  local image=("$work"/root/boot/vmlinuz-*)
  if [[ ! -s ${image[0]} ]]; then
    echo "fetch-kernels: $package has no boot/vmlinuz-*" >&2
    return 3
  fi
  # Renamed within one file system: whole or not there.
  if ! basename "${deb[0]}" >"$work/package" ||
    ! mv "$work/package" "$directory/package" ||
    ! mv "${image[0]}" "$directory/vmlinuz"; then
    echo "fetch-kernels: cannot write to $directory" >&2
    return 3
  fi
  echo "fetch-kernels: $version is $(cat "$directory/package")" >&2
)

status=0
for version in "${versions[@]}"; do
  fetch "$version" || status=$?
done
exit "$status"
