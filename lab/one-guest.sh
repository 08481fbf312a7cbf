#!/usr/bin/env bash
# What the stories of one guest share: its site, looks inside it, and kills of our program.
# shellcheck disable=SC2034 # used by the scripts that source this
set -euo pipefail
# shellcheck source=lab/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

site=$scratch/web

cleanup() {
  local code=$?
  trap - EXIT
  [ "$code" = 0 ] && end_claim
  "$updraft" -C "$site" destroy --yes >/dev/null 2>&1 || { echo "could not destroy $site" >&2 && code=1; }
  if [ "$code" = 0 ]; then rm -rf "$scratch"; else echo "left for a look: $scratch" >&2; fi
  exit "$code"
}
trap cleanup EXIT

# A site of one guest that starts cold or live. Nobody else has its shape, so that a template of it is
# ours to make.
write_site() {
  mkdir -p "$site"
  cat >"$site/updraft.yaml" <<YAML
site: web
domain: web.test
admins: { ops: { keys: [ops.pub] } }
networks: { lan: { cidr: 10.81.0.0/24 } }
images:
  debian: { bootstrap: bookworm, packages: [haproxy, python3], live: true }
groups:
  web: { image: debian, memory: 248MiB, start: $1 }
YAML
  ssh-keygen -q -t ed25519 -N '' -C ops -f "$scratch/ops"
  cp "$scratch/ops.pub" "$site/ops.pub"
}

# What a shell inside a machine says.
inside() {
  must exec "$1" --json -- /bin/sh -c "$2"
  jq -er '.[0].stdout' "$scratch/out"
}

# The clock of a machine lies between ours before and after it was asked.
clock_is_right() {
  local before now after
  before=$(date +%s)
  now=$(inside "$1" 'date +%s')
  after=$(date +%s)
  if [ "$now" -lt $((before - 2)) ] || [ "$now" -gt $((after + 2)) ]; then fail "its clock says $now between $before and $after"; fi
}

# Whether sshd answers on the machine's own address.
answers_ssh() (
  # In a shell of its own: where nobody listens, this one ends.
  exec 3<>"/dev/tcp/$(address_of "$1")/22" && read -r -t 10 -u 3 banner && [[ $banner == SSH-* ]]
)

can_write() { "$updraft" -C "$site" exec --timeout 5s "$1" -- /bin/sh -c 'echo >/srv/written && sync /srv/written' </dev/null; }

count_snapshots() {
  must machine snapshots --json
  jq -e length "$scratch/out"
}

# Kills a command of ours after so many seconds; it may have come to its end by then.
killed_after() {
  local code=0 running seconds=$1
  shift
  "$updraft" -C "$site" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null &
  running=$!
  sleep "$seconds"
  kill -KILL "$running" 2>/dev/null || true
  { wait "$running" || code=$?; } 2>/dev/null
  case $code in
    0 | 137) ;;
    *) fail "updraft $*, to be killed after $seconds s, ended with $code: $(tail -n 20 "$scratch/err")" ;;
  esac
}

# A command of ours dies when this line of its journal is written.
dies_at() {
  local code=0 line=$1
  shift
  { UPDRAFT_CRASH_AT=$line "$updraft" -C "$site" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null; } 2>/dev/null || code=$?
  same "$code" 137 "the end of updraft $*, to be killed at line $line"
}

# Nothing of a snapshot that did not come to its end is in the guest's folder or disk.
nothing_half_made() {
  local dir
  for dir in "$site"/.updraft/guests/*/; do
    if [ -d "$dir/snapshots" ]; then
      for snapshot in "$dir"/snapshots/*/; do [ -e "$snapshot/snapshot.json" ] || fail "half made: $snapshot"; done
    fi
    same "$(qemu-img info -U --output=json "$dir/disk.qcow2" | jq '.snapshots | length')" 0 "points in $dir"
  done
}
