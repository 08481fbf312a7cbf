#!/usr/bin/env bash
# Kills updraft at lines of its journal on real guests, and checks that the same command again ends well.
#
#   lab/crash-hello.sh               two rounds, at lines spread over each command
#   lab/crash-hello.sh --rounds N    N rounds
#   lab/crash-hello.sh --all         every line of every command; takes hours
#
# A round is: up from nothing, a new version, destroy; each is killed at one line and then repeated.
# Rounds take turns in dying just before and just after the line is on disk.
set -euo pipefail
# shellcheck source=lab/common.sh
. "$(dirname "$0")/common.sh"
trap 'clean_up $?' EXIT

rounds=2
case ${1:-} in
  --all) rounds=all ;;
  --rounds) rounds=$2 ;;
  '') ;;
  *) echo "usage: lab/crash-hello.sh [--rounds N|--all]" >&2 && exit 2 ;;
esac

copy_site
set_version v1
look_at_world >"$scratch/before"
cp "$site/updraft.yaml" "$scratch/first.yaml"

# Everything that must be the same at the end, however often the way there was interrupted.
end_of_up() {
  local url=$1 version=$2 answers
  same "$(count_guests)" 3 "guests"
  answers=$(for _ in 1 2 3 4 5 6; do ask "$url"; done | sort -u)
  same "$answers" "worker-1 $version"$'\n'"worker-2 $version" "answers"
  must plan --detailed-exitcode
  same "$("$updraft" -C "$site" status --json | jq -r '[.machines[] | "\(.name) \(.state)"] | sort | join(", ")')" \
    "balancer-1 running, worker-1 running, worker-2 running" "status"
}

end_of_destroy() {
  same "$(count_guests)" 0 "guests"
  look_at_world >"$scratch/after"
  diff -u "$scratch/before" "$scratch/after" >"$scratch/left" || fail "$(cat "$scratch/left")"
}

# Lines of the journal so far, over all runs. The start and the end of a run are lines too.
journal_lines() {
  python3 - "$site/.updraft/state.db" <<'PYTHON'
import sqlite3, sys
journal = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
print(journal.execute("select (select count(*) from records) + 2 * (select count(*) from runs)").fetchone()[0])
PYTHON
}

# Runs a command that dies at a line. Returns 1 when it ended before it came to that line.
killed_at() {
  local at=$1 code=0
  shift
  UPDRAFT_CRASH_AT=$at "$updraft" -C "$site" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null || code=$?
  case $code in
    137) return 0 ;;
    0) return 1 ;;
    *) fail "updraft $* ended with $code instead of being killed at $at: $(tail -n 20 "$scratch/err")" ;;
  esac
}

# The line to die at in this round: spread over `lines`, or the round's own number with --all.
line_of() {
  local round=$1 lines=$2
  if [ "$rounds" = all ]; then echo "$round"; else echo $((lines * (2 * round - 1) / (2 * rounds) + 1)); fi
}

claim "an undisturbed round ends well"
must up --yes
url=$(balancer_url)
lines_of_up=$(journal_lines)
end_of_up "$url" v1
before=$(journal_lines)
set_version v2
must up --yes
lines_of_deploy=$(($(journal_lines) - before))
end_of_up "$url" v2
must destroy --yes
end_of_destroy
# A destroy stops and removes each machine and the network; its journal goes with it.
lines_of_destroy=$lines_of_deploy
echo "  up writes $lines_of_up lines, a new version $lines_of_deploy" >&2

round=1
while true; do
  died=0
  moment=$([ $((round % 2)) = 1 ] && echo after || echo before)
  cp "$scratch/first.yaml" "$site/updraft.yaml"

  at=$moment:$(line_of $round "$lines_of_up")
  claim "up killed $at goes on when it is repeated"
  if killed_at "$at" up --yes; then died=1 && must up --yes; fi
  end_of_up "$url" v1

  set_version v2
  at=$moment:$(line_of $round "$lines_of_deploy")
  claim "a new version killed $at goes on when up is repeated"
  if killed_at "$at" up --yes; then died=1 && must up --yes; fi
  end_of_up "$url" v2

  at=$moment:$(line_of $round "$lines_of_destroy")
  claim "destroy killed $at goes on when it is repeated"
  if killed_at "$at" destroy --yes; then died=1 && must destroy --yes; fi
  end_of_destroy

  if [ "$rounds" = all ]; then
    [ $died = 1 ] || break
  else
    [ $died = 1 ] || fail "none of the three commands came to its line"
    [ $round -lt "$rounds" ] || break
  fi
  round=$((round + 1))
done
end_claim
echo "crash-hello: $round rounds held in $SECONDS s" >&2
