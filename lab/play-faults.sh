#!/usr/bin/env bash
# A play on hosts of which some get into trouble in the middle: one hangs, one has a full disk, one
# loses its connection, one loses its power. The others go on, and a second run makes all alike.
#
#   lab/play-faults.sh
#
# The hosts are a fleet of namespaces with real sshd (lab/fleet.sh).
set -euo pipefail
# shellcheck source=lab/common.sh
. "$(dirname "$0")/common.sh"

fleet=$repository/target/lab/troubled
run() { "$repository/lab/fleet.sh" --dir "$fleet" "$@"; }
clean_up() {
  run down
  rm -rf "$scratch"
}
trap clean_up EXIT

# Runs the play; its output is in $scratch/out, its exit code in $code.
play() {
  code=0
  run ctl env HOME="$scratch" UPDRAFT_KEEP=0s "$updraft" play -i "$fleet/hosts.ini" "$@" \
    >"$scratch/out" 2>&1 </dev/null || code=$?
}

# counts NAME WORDS: what the recap says of a host.
counts() {
  local line
  line=$(grep -E "^troubl-$1 +:" "$scratch/out") || fail "no recap of host $1: $(tail -n 20 "$scratch/out")"
  for word in $2; do
    grep -q " $word " <<<"$line " || fail "expected $word of host $1: $line"
  done
}

inside() { run enter "$@"; }
waits() { inside "$1" test -e /run/waits; }

cat >"$scratch/site.yml" <<'YAML'
- hosts: all
  gather_facts: false
  tasks:
    - name: Before
      copy: { content: "before\n", dest: /srv/before }
    - name: In the middle
      shell: touch /run/waits; until test -e /run/go; do sleep 0.1; done; rm -f /run/waits
      changed_when: false
    - name: Much
      copy: { content: "{{ 'much ' * 200000 }}", dest: /srv/small/much }
    - name: After
      copy: { content: "after\n", dest: /srv/after }
YAML

claim "a fleet of five is there; one has a small disk"
# Nothing of a run that was cut off.
run down
run --name troubl --net 10.74 up 5 >/dev/null
for host in 1 2 3 4 5; do
  inside "$host" mkdir -p /srv/small
done
inside 2 mount -t tmpfs -o size=64k none /srv/small

claim "a host that hangs, one that is full, one that is cut off and one without power fail alone"
(play "$scratch/site.yml"; echo "$code" >"$scratch/code") &
running=$!
for host in 1 2 3 4 5; do until_true "host $host in the middle" 60 waits "$host"; done
run unplug 3
# The session of our program, and not the listener.
inside 4 pkill -9 -f "sshd: root" || true
run kill 5
for host in 1 2; do inside "$host" touch /run/go; done
wait "$running"
same "$(cat "$scratch/code")" 4 "the exit code of ansible-playbook with unreachable hosts"
counts 1 "ok=4 changed=3 unreachable=0 failed=0"
counts 2 "ok=2 changed=1 unreachable=0 failed=1"
for host in 3 4 5; do counts "$host" "ok=1 changed=1 unreachable=1 failed=0"; done
says "$scratch/out" "no space left on device"
grep -E "troubl-3.*UNREACHABLE" "$scratch/out" >&2 || fail "host 3 is not told of"
grep -E "troubl-3.*no answer came for" "$scratch/out" >/dev/null || fail "nobody says that host 3 was silent"

claim "what was not reached was not done, and half a file is nowhere"
! inside 2 test -e /srv/after || fail "host 2 went on after it had failed"
! inside 2 test -e /srv/small/much || fail "half a file is there"
[ -z "$(inside 2 ls -A /srv/small)" ] || fail "something was left: $(inside 2 ls -A /srv/small)"
inside 1 grep -q after /srv/after || fail "host 1 did not go on"

claim "once the trouble is over, a second run makes all of them alike"
inside 2 umount /srv/small
run plug 3
run boot 5
run wait
for host in 3 4 5; do inside "$host" touch /run/go; done
play "$scratch/site.yml"
same "$code" 0 "the exit code of the second run"
counts 1 "ok=4 changed=0"
counts 2 "ok=4 changed=2"
for host in 3 4; do counts "$host" "ok=4 changed=2"; done
counts 5 "ok=4 unreachable=0 failed=0"

claim "a third run does nothing"
play "$scratch/site.yml"
same "$code" 0 "the exit code of the third run"
for host in 1 2 3 4 5; do counts "$host" "ok=4 changed=0"; done

end_claim
echo "play-faults: all held" >&2
