#!/usr/bin/env bash
# Snapshots of one machine on real guests: taken while it writes, listed, gone back to, kept by
# number, removed; and our program killed at any moment of it.
#
#   lab/snapshots.sh
#
# Needs root and the release build. It takes some minutes, the more of them where the image is not in
# the store.
set -euo pipefail
# shellcheck source=lab/one-guest.sh
. "$(dirname "$0")/one-guest.sh"

write_site cold
must up --yes
identity=$(inside web-1 'cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub')

claim "a machine that writes all the time goes on writing, and its snapshot has what was written before"
inside web-1 'echo before >/srv/kept; nohup /bin/sh -c "while :; do date >>/srv/busy; sleep 0.02; done" >/dev/null 2>&1 & echo started' >/dev/null
must machine snapshot web-1 --label first
says "$scratch/err" 'stood still for [0-9]+ ms'
lines=$(inside web-1 'wc -l </srv/busy')
until_true "the machine to write on" 30 sh -c "[ \"\$('$updraft' -C '$site' exec web-1 --json -- /bin/sh -c 'wc -l </srv/busy' | jq -r '.[0].stdout')\" -gt $lines ]"
inside web-1 'echo after >/srv/kept; sync' >/dev/null
must machine snapshots web-1
says "$scratch/out" 'web-1 .*first'
same "$(count_snapshots)" 1 "snapshots"
nothing_half_made

claim "nobody is asked where nobody can answer, and an unknown snapshot is told with those there are"
if ud machine revert web-1 last; then fail "it went back without being told to"; fi
says "$scratch/err" '--yes'
if ud machine revert web-1 nightly --yes; then fail "it went back to a snapshot that is not there"; fi
says "$scratch/err" 'first'
same "$(inside web-1 'cat /srv/kept')" after "the file"

claim "back at the snapshot it boots, is itself, and knows what time it is"
must machine revert web-1 first --yes
same "$(inside web-1 'cat /srv/kept')" before "the file"
same "$(inside web-1 'cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub')" "$identity" "its identity"
clock_is_right web-1
must plan
says "$scratch/out" '^Nothing to do'

claim "of those with one label the oldest go"
must machine snapshot web-1
for _ in 1 2 3; do must machine snapshot web-1 --label daily --keep 2; done
must machine snapshots --json
same "$(jq -r '[.[] | .label // "-"] | sort | join(" ")' "$scratch/out")" "- daily daily first" "labels"
must machine drop web-1 first
same "$(count_snapshots)" 3 "snapshots"

claim "killed at any moment, it is let go, and the same command leaves one more snapshot and nothing half made"
have=3
for seconds in 0.06 0.12 0.17 0.22 0.3; do
  killed_after $seconds machine snapshot web-1 --label killed
  until_true "the machine to be let go" 30 can_write web-1
  left=$(count_snapshots)
  must machine snapshot web-1 --label killed
  same "$(count_snapshots)" $((left + 1)) "snapshots after a kill at $seconds s"
  nothing_half_made
  have=$((left + 1))
done

claim "killed between its steps on its way back, the same command comes to the same end"
# Some lines are enough: each of them costs a boot.
for line in 4 6 8; do
  dies_at "$line" machine revert web-1 last --yes
  must machine revert web-1 last --yes
  same "$(inside web-1 'cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub')" "$identity" "its identity"
done

claim "with its memory it goes on where it was, as itself, with a right clock and other random numbers"
boot=$(inside web-1 'cat /proc/sys/kernel/random/boot_id')
inside web-1 'echo kept >/dev/shm/memory; echo kept >/srv/disk' >/dev/null
must machine snapshot web-1 --memory --label going
says "$scratch/err" 'stood still for [0-9]+ ms'
tail -n 2 "$scratch/err" >&2
inside web-1 'rm /dev/shm/memory /srv/disk; sync' >/dev/null
for round in 1 2; do
  must machine revert web-1 going --yes
  same "$(inside web-1 'cat /proc/sys/kernel/random/boot_id /dev/shm/memory /srv/disk')" "$boot
kept
kept" "what it was doing"
  clock_is_right web-1
  inside web-1 'head -c 16 /dev/urandom | od -An -tx1' >"$scratch/random$round"
done
if cmp -s "$scratch/random1" "$scratch/random2"; then fail "it drew the same random numbers twice"; fi
inside web-1 'touch /srv/still-writes && sync' >/dev/null
until_true "its network" 300 answers_ssh web-1
must plan
says "$scratch/out" '^Nothing to do'
have=$((have + 1))

claim "killed while its memory is kept, it goes on, and the same command leaves nothing half made"
for seconds in 0.1 0.2 0.3 0.5 0.8; do
  killed_after $seconds machine snapshot web-1 --memory --label killed
  left=$(count_snapshots)
  must machine snapshot web-1 --memory --label killed --keep 1
  must machine snapshots --json
  same "$(jq '[.[] | select(.label == "killed")] | length' "$scratch/out")" 1 "snapshots after a kill at $seconds s"
  until_true "the machine to write" 30 can_write web-1
  nothing_half_made
done
have=$(count_snapshots)

claim "killed between its steps on its way back into memory, the same command comes there"
for line in 3 5 7 9; do
  dies_at "$line" machine revert web-1 going --yes
  must machine revert web-1 going --yes
  same "$(inside web-1 'cat /proc/sys/kernel/random/boot_id')" "$boot" "its boot"
done

claim "one that is off has snapshots too, and they stay while machines come and go"
must down
must machine snapshot web-1 --label off
must up --yes
must plan
says "$scratch/out" '^Nothing to do'
same "$(count_snapshots)" $((have + 1)) "snapshots"

claim "they go with the machine, and that is said before"
sed -i 's/haproxy, //' "$site/updraft.yaml"
must plan
says "$scratch/out" 'all its snapshots'
must destroy --yes
[ ! -e "$site/.updraft" ] || fail "something is left: $(find "$site/.updraft")"
end_claim
