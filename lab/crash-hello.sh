#!/usr/bin/env bash
# Kills updraft at every line of its journal on real guests, and checks that the same command goes on.
#
# One `up` from nothing, one new version and one `destroy`, each in a chain: killed just before a line
# is on disk, repeated and killed just after it, repeated and killed at the next one, until nothing is
# left to do. A kill is a SIGKILL to itself, in place of the commit. While the new version is rolled
# out, requests go through the balancer without a pause, and none may fail.
set -euo pipefail
# shellcheck source=lab/common.sh
. "$(dirname "$0")/common.sh"

stop_everything() {
  local code=$?
  drop_asking
  clean_up $code
}
trap stop_everything EXIT

kills=0

# What the journal says of the newest run: `steps that have a start and no end`, `steps done`.
progress() {
  python3 - "$site/.updraft/state.db" <<'PYTHON'
import os, sqlite3, sys
begun, done = 0, 0
if os.path.exists(sys.argv[1]):
    journal = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
    try:
        run = journal.execute("select number, ended from runs order by number desc limit 1").fetchone()
        if run:
            last = {}
            for step, event in journal.execute("select step, event from records where run = ? order by seq", run[:1]):
                last[step] = event
            done = sum(event != "started" for event in last.values())
            begun = 0 if run[1] else len(last) - done
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
print(begun, done)
PYTHON
}

# Runs a command that dies at a line. Returns 1 when it came to its end instead.
killed_at() {
  local at=$1 code=0
  shift
  # The group's own standard error is for the shell, which tells of each kill.
  { UPDRAFT_CRASH_AT=$at "$updraft" -C "$site" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null; } 2>/dev/null || code=$?
  case $code in
    137)
      kills=$((kills + 1))
      [ "$(count_guests)" -le 3 ] || fail "$(count_guests) guests after the kill $at"
      ;;
    0) return 1 ;;
    *) fail "updraft $* ended with $code instead of being killed at $at: $(tail -n 20 "$scratch/err")" ;;
  esac
}

# Repeats `up` until it has nothing left to do, killed at each line of the run that is not the start
# of a step over again: those are written together when a run is taken up.
up_killed_everywhere() {
  local begun ended before=-1 further=0 at
  while true; do
    read -r begun ended < <(progress)
    # What a step remembers before its end is lines too: go on to the next one until it has ended.
    if [ "$ended" = "$before" ]; then further=$((further + 1)); else further=0; fi
    before=$ended
    at=$((begun + 1 + further))
    killed_at before:$at up --yes || break
    killed_at after:$at up --yes || break
  done
}

# The same for a command that plans anew each time.
killed_everywhere() {
  local at=1
  while killed_at before:$at "$@" && killed_at after:$at "$@"; do at=$((at + 1)); done
}

# Everything that must be the same at the end, however often the way there was interrupted.
end_of_up() {
  local version=$1
  same "$(count_guests)" 3 "guests"
  same "$(for _ in 1 2 3 4 5 6; do ask "$url"; done | sort -u)" "worker-1 $version"$'\n'"worker-2 $version" "answers"
  must plan --detailed-exitcode
  must status --json
  same "$(jq -r '[.machines[] | "\(.name) \(.state)"] | sort | join(", ")' "$scratch/out")" \
    "balancer-1 running, worker-1 running, worker-2 running" "status"
}

copy_site
set_version v1
look_at_world >"$scratch/before"

claim "up killed at every line of its journal comes up"
up_killed_everywhere
remember_mark
url=$(balancer_url)
end_of_up v1
[ $kills -ge 36 ] || fail "only $kills kills"
echo "  $kills kills" >&2

claim "a new version killed at every line of its journal is rolled out without a failed request"
kills=0
set_version v2
start_asking
up_killed_everywhere
stop_asking
end_of_up v2
[ $kills -ge 12 ] || fail "only $kills kills"
echo "  $kills kills" >&2

claim "destroy killed at every line of its journal leaves nothing"
kills=0
killed_everywhere destroy --yes
same "$(count_guests)" 0 "guests"
look_at_world >"$scratch/after"
diff -u "$scratch/before" "$scratch/after" >"$scratch/left" || fail "$(cat "$scratch/left")"
[ $kills -ge 12 ] || fail "only $kills kills"
echo "  $kills kills" >&2
end_claim
echo "crash-hello: every claim held in $SECONDS s" >&2
