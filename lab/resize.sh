#!/usr/bin/env bash
# Gives machines another shape on real guests: disks grow while they run, memory and processors
# change with a rolling restart, and a client that asks all the time notices nothing.
#
#   lab/resize.sh
#
# Works on a copy of examples/hello whose machines start live. Needs root and the release build.
# What it made is removed at the end, also when a claim does not hold; images and templates stay.
set -euo pipefail
# shellcheck source=lab/common.sh
. "$(dirname "$0")/common.sh"

stop_everything() {
  local code=$?
  drop_asking
  clean_up $code
}
trap stop_everything EXIT

# What one worker says, without its name in front of it.
on() { "$updraft" -C "$site" exec "$1" --shell "$2" 2>/dev/null | sed 's/^[^|]*| //'; }

boots() { "$updraft" -C "$site" exec worker -- cat /proc/sys/kernel/random/boot_id 2>/dev/null | sort; }

identities() { "$updraft" -C "$site" exec worker -- cat /etc/machine-id 2>/dev/null | sort; }

# The shape of the workers in the site file: "256MiB", or "256MiB, cpus: 2, disk: 4GiB".
shape_workers() { sed -i -E "s/^(  worker: .*memory: )[^}]*, play/\1$1, play/" "$site/updraft.yaml"; }

mebibytes_of_root() { on "$1" "df --output=size -BM / | tail -n 1 | tr -dc 0-9"; }

mebibytes_of_memory() { on "$1" "awk '/^MemTotal/ { print int(\$2 / 1024) }' /proc/meminfo"; }

nothing_to_do() {
  must plan --detailed-exitcode
  says "$scratch/out" '^nothing to do'
}

has_root_of() {
  local worker size
  for worker in worker-1 worker-2; do
    size=$(mebibytes_of_root $worker)
    [ "$size" -ge "$1" ] || fail "the root filesystem of $worker has $size MiB, not $1"
  done
}

# Kills `up` at one line of its journal after the other; the same command again comes to the same.
# `up` changes the disks to so many GiB and back again is no way: each time they grow.
kill_at_every_line() {
  local line code=0 size=$1
  for line in $(seq 1 40); do
    size=$((size + 1))
    shape_workers "320MiB, cpus: 2, disk: ${size}GiB"
    code=0
    { UPDRAFT_CRASH_AT=$line ud up --yes; } 2>/dev/null || code=$?
    must up --yes
    nothing_to_do
    has_root_of $((size * 1024 - 300))
    [ "$code" = 137 ] || break
  done
  [ "$code" = 0 ] || fail "up ended with $code, or has more lines than were tried: $(tail -n 20 "$scratch/err")"
  [ "$line" -gt 4 ] || fail "up has only $line lines"
  grown=$size
}

copy_site
sed -i -E "s|10\.73\.0\.0/24|10.82.0.0/24|; s/(packages: \[haproxy, python3\])/\1\n    live: true/; s/within: 20s/within: 3m/" "$site/updraft.yaml"

claim "the example comes up, with workers that start live"
must up --yes
url=$(balancer_url)
ids=$(identities)

claim "a disk grows while its machine runs, its filesystem with it, and no request fails"
boots=$(boots)
start_asking
shape_workers "256MiB, disk: 3GiB"
must plan
says "$scratch/out" 'worker-1, worker-2  resize: disk 2GiB → 3GiB \(no restart\)'
must up --yes
has_root_of 2700
same "$(boots)" "$boots" "the boots of the workers"
nothing_to_do

claim "memory and processors change with a restart, one machine after the other, and no request fails"
shape_workers "320MiB, cpus: 2, disk: 3GiB"
must plan
says "$scratch/out" 'memory 256MiB → 320MiB \(restart\), cpus 1 → 2 \(restart\)'
must up --yes
stop_asking
for worker in worker-1 worker-2; do
  same "$(on $worker nproc)" 2 "processors of $worker"
  [ "$(mebibytes_of_memory $worker)" -gt 256 ] || fail "$worker has $(mebibytes_of_memory $worker) MiB"
done
same "$(identities)" "$ids" "the identities of the workers"
[ "$(boots)" != "$boots" ] || fail "the workers were not restarted"
must service test hello
nothing_to_do

claim "a machine that is added starts live from a template of the new shape"
sed -i -E 's/(worker: .*count: )2/\13/' "$site/updraft.yaml"
must up --yes
same "$(on worker-3 nproc)" 2 "processors of worker-3"
sed -i -E 's/(worker: .*count: )3/\12/' "$site/updraft.yaml"
must up --yes

claim "one machine is resized by hand, the site file says otherwise, and the next up takes it back"
start_asking
must machine resize worker-2 --memory 256MiB
says "$scratch/err" 'says memory: 320MiB for group worker'
[ "$(mebibytes_of_memory worker-2)" -lt 256 ] || fail "worker-2 has $(mebibytes_of_memory worker-2) MiB"
must machine resize worker-2 --memory 256MiB
says "$scratch/err" 'nothing to do'
must plan
says "$scratch/out" 'worker-2  resize: memory 256MiB → 320MiB \(restart\)'
must up --yes
stop_asking
nothing_to_do

claim "a disk never shrinks: plan and up say so, and nothing is changed"
shape_workers "320MiB, cpus: 2, disk: 2GiB"
boots=$(boots)
for command in plan "up --yes" "machine resize worker-1 --disk 2GiB"; do
  code=0
  # shellcheck disable=SC2086 # a command and its arguments
  ud $command || code=$?
  same "$code" 2 "the exit code of $command"
  says "$scratch/err" 'the disk of .worker-1. has 3GiB and 2GiB are asked for: a disk never shrinks'
  says "$scratch/err" 'help: write .disk: 3GiB.'
done
same "$(boots)" "$boots" "the boots of the workers"

claim "killed at any line while disks grow, the same command comes to the end"
grown=3
kill_at_every_line 3

claim "killed while a machine is off for its new shape, the same command brings it back"
boots=$(boots)
for seconds in 3 8 14; do
  memory=$((320 + seconds * 4))
  shape_workers "${memory}MiB, cpus: 2, disk: ${grown}GiB"
  "$updraft" -C "$site" up --yes >"$scratch/out" 2>"$scratch/err" </dev/null &
  running=$!
  sleep "$seconds"
  kill -KILL "$running" 2>/dev/null || true
  { wait "$running" || true; } 2>/dev/null
  must up --yes
  nothing_to_do
  must service test hello
done
same "$(identities)" "$ids" "the identities of the workers"
end_claim
