#!/usr/bin/env bash
# One machine that boots beside one, four and twenty that start live from a template of its image,
# and Vagrant with its libvirt provider beside one and four.
#
#   bench/clone.sh [--no-vagrant] [MORE OPTIONS OF bench/clone.py]
set -euo pipefail
cd "$(dirname "$0")/.."

exec bench/clone.py --updraft "${UPDRAFT:-$PWD/target/release/updraft}" --out bench/out/clone.json "$@"
