#!/usr/bin/env bash
# How long `up` takes when there is nothing to do, and `status`, on the running hello example.
#
#   bench/noop.sh [SITE_FOLDER]
#
# Vagrant needed 1.9 s and 1.8 s for one running guest of libvirt, measured elsewhere on two cores
# in November 2026; where it is installed, its status of an empty project is timed beside ours.
set -euo pipefail
cd "$(dirname "$0")/.."

updraft=${UPDRAFT:-$PWD/target/release/updraft}
folder=${1:-examples/hello}
rounds=20
missed=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$updraft" -C "$folder" up --yes >&2

peer=()
if command -v vagrant >/dev/null; then
  printf 'Vagrant.configure("2") { |config| config.vm.box = "none" }\n' >"$scratch/Vagrantfile"
  peer=(--of "vagrant, no guest" "env VAGRANT_CWD=$scratch vagrant status")
fi
bench/measure.py --title "up with nothing to do" --rounds $rounds --agreed 0.1 \
  --out bench/out/noop-up.json --of updraft "$updraft -C $folder up --yes" || missed=1
bench/measure.py --title "status" --rounds $rounds --agreed 0.1 \
  --out bench/out/noop-status.json --of updraft "$updraft -C $folder status" "${peer[@]}" || missed=1
exit $missed
