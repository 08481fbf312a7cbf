#!/usr/bin/env bash
# Hooks of the identity on real guests: what an image brings to give its services an identity of
# their own, and how one refuses a machine that started live.
#
#   lab/hooks.sh
#
# Needs root and the release build. Images and templates stay in the store.
set -euo pipefail
# shellcheck source=lab/common.sh
. "$(dirname "$0")/common.sh"

site=$scratch/hooks
trap 'clean_up $?' EXIT

on() { "$updraft" -C "$site" exec "$1" --shell "$2" 2>/dev/null | sed 's/^[^|]*| //'; }

# The play that is applied in the image, with the words that the second hook ends with.
write_play() {
  cat >"$site/hooks.yaml" <<YAML
- hosts: all
  tasks:
    - file: { path: /etc/updraft/identity.d, state: directory }
    - copy:
        dest: /etc/updraft/identity.d/10-note
        mode: "0755"
        content: |
          #!/bin/sh
          set -e
          addresses=\$(ip -4 -o addr show | grep -vc ' lo ' || true)
          keys=\$(ls /etc/ssh/ssh_host_*_key | wc -l)
          echo "\$(hostname) \$(cat /etc/machine-id) addresses \$addresses keys \$keys" >>/var/lib/noted
    - copy:
        dest: /etc/updraft/identity.d/20-last
        mode: "0755"
        content: |
          #!/bin/sh
          $1
YAML
}

mkdir -p "$site"
cat >"$site/updraft.yaml" <<'YAML'
site: hooks
networks: { lan: { cidr: 10.82.0.0/24 } }
images:
  debian: { bootstrap: bookworm, packages: [haproxy, python3] }
  hooked: { from: debian, play: hooks.yaml, live: true }
groups:
  live: { image: hooked, memory: 244MiB, count: 2 }
  cold: { image: hooked, memory: 244MiB, start: cold }
YAML
write_play "true"

claim "hooks run once on a machine that starts live, as that machine, before it has an address"
must up --yes
for machine in live-1 live-2; do
  same "$(on $machine 'cat /var/lib/noted')" "$machine $(on $machine 'cat /etc/machine-id') addresses 0 keys 1" \
    "what the hook of $machine saw"
done

claim "hooks do not run on a machine that boots, which was nobody before"
same "$(on cold-1 'test -e /var/lib/noted || echo none')" none "what the hook of cold-1 noted"

claim "a machine that a hook refuses is destroyed, and the hook is named"
must destroy --yes
write_play "exit 7"
code=0
ud up --yes || code=$?
same "$code" 1 "the exit code of up"
says "$scratch/err" 'identity.d/20-last. refuses the new identity: exit status: 7'
must status --json
same "$(jq -r '[.machines[] | select(.state != "absent") | .name] | join(" ")' "$scratch/out")" cold-1 "machines that are there"
same "$(guests | wc -l)" 1 "guests that run"

claim "once the hook agrees, the same command brings them up"
write_play "true"
must up --yes
must exec live -- hostname
must plan --detailed-exitcode
end_claim
