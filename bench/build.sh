#!/usr/bin/env bash
# How long a release build from nothing takes, agent included, in a copy of this checkout.
#
# Crates are downloaded before the clock starts.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
out=$PWD/bench/out/build.json
measure=$PWD/bench/measure.py
tar --create --exclude=./target --exclude=./.git --exclude=.updraft . | tar --extract --directory "$scratch"
cargo fetch --locked
"$measure" --title "release build from nothing" --rounds 1 --warm 0 --agreed 300 --folder "$scratch" \
  --out "$out" --of build "cargo xtask build"
