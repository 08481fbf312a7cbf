#!/usr/bin/env bash
# Tells the story of the hello example on real guests, one claim after the other.
#
# Works on a copy of examples/hello in a temporary folder. Needs root, a release build and
# target/peers. What it made is removed at the end, also when a claim does not hold.
set -euo pipefail
# shellcheck source=lab/common.sh
. "$(dirname "$0")/common.sh"

peers=$("$repository/scripts/peers.sh")

stop_everything() {
  local code=$?
  drop_asking
  clean_up $code
}
trap stop_everything EXIT

check_alternates() {
  local version=$1 before='' answer
  for _ in 1 2 3 4 5 6; do
    answer=$(ask "$url")
    [[ $answer =~ ^worker-[12]\ $version$ ]] || fail "the balancer answered \"$answer\""
    [ "$answer" != "$before" ] || fail "\"$answer\" answered twice in a row"
    before=$answer
  done
}

both_serve() { for _ in 1 2 3 4 5 6; do ask "$url"; done | sort -u | wc -l | grep -qx 2; }

nothing_to_do() {
  must up --yes
  says "$scratch/err" 'nothing to do'
  must plan --detailed-exitcode
}

state_of() { "$updraft" -C "$site" status --json | jq -er --arg name "$1" '.machines[] | select(.name == $name) | .state'; }

plans_an_agent() { "$updraft" -C "$site" plan | grep -q 'worker-2  agent: it is of another updraft'; }

checksum_of_agent() { "$updraft" -C "$site" exec "$1" -- cksum /usr/lib/updraft/updraft-agent 2>/dev/null | cut -d '|' -f 2; }

# Takes away what a reboot of this machine would, and nothing that was there before the site.
forget_like_a_reboot() {
  local bridge=$1 pid cable table
  for pid in $(guests); do
    kill -KILL "$pid"
    until_true "the end of guest $pid" 10 test ! -d "/proc/$pid"
  done
  for cable in $(ip -o link show master "$bridge" | awk -F': ' '{print $2}') "$bridge"; do ip link del "$cable"; done
  nft list tables | while read -r _ table; do
    # shellcheck disable=SC2086 # a family and a name
    grep -qF "table $table {" "$scratch/before" || nft delete table $table
  done
  sed -n '/^== forwarding/{n;p}' "$scratch/before" >/proc/sys/net/ipv4/ip_forward
}

ssh_to() {
  local machine=$1
  shift
  ssh -F "$scratch/ssh_config" -i "$scratch/ops" -l ops -o BatchMode=yes -o IdentitiesOnly=yes \
    -o StrictHostKeyChecking=yes "$machine" "$@"
}

copy_site
look_at_world >"$scratch/before"

claim "a plan of nothing creates three machines and says so with its exit code"
code=0 && ud plan --detailed-exitcode || code=$?
same $code 3 "exit code of a plan with changes"
for name in balancer-1 worker-1 worker-2; do says "$scratch/out" "$name"; done

claim "up brings the site up"
must up --yes
same "$(count_guests)" 3 "guests"
remember_mark
url=$(balancer_url)

claim "the balancer alternates between the workers' own names"
check_alternates v1

claim "a second up has nothing to do"
nothing_to_do

claim "each guest has an identity of its own, and ssh knows its key before the first connection"
must inventory --ssh-config
cp "$scratch/out" "$scratch/ssh_config"
for name in balancer-1 worker-1 worker-2; do
  same "$(ssh_to $name hostname)" $name "hostname over ssh"
  ssh_to $name cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub | cut -d ' ' -f 1,2
done >"$scratch/identities"
same "$(sort -u "$scratch/identities" | wc -l)" 6 "different machine-ids and host keys"

claim "names resolve between guests"
for name in balancer-1 worker-1 worker-2; do
  for other in balancer-1 worker-1 worker-2; do
    for spelled in $other $other.hello.test; do
      # A machine may know itself by a loopback address.
      [ $name = $other ] || same "$(ssh_to $name getent ahostsv4 "$spelled" | awk 'NR == 1 {print $1}')" \
        "$(address_of $other)" "address of $spelled on $name"
    done
  done
done

claim "ping and exec reach a pattern, and say with their exit code when one machine failed"
must ping all
must exec 'all:!balancer' -- hostname
says "$scratch/out" worker-1
says "$scratch/out" worker-2
! grep -q balancer-1 "$scratch/out" || fail "exec ran outside its pattern"
# shellcheck disable=SC2016 # the machine's shell expands it
! ud exec worker -- sh -c 'test "$(hostname)" = worker-1' || fail "exec hid a failure"

claim "cp carries a file there and back"
head -c 300000 /dev/urandom >"$scratch/file"
must cp "$scratch/file" worker-1:/tmp/file
must cp worker-1:/tmp/file "$scratch/file.back"
cmp "$scratch/file" "$scratch/file.back" || fail "the file changed on its way"

claim "ansible-inventory accepts our inventory as a script"
# shellcheck disable=SC2016 # written into the script
printf '#!/bin/sh\nexec "%s" -C "%s" inventory "$@"\n' "$updraft" "$site" >"$scratch/hosts"
chmod +x "$scratch/hosts"
"$peers/ansible-inventory" -i "$scratch/hosts" --list >"$scratch/inventory.json"
same "$(jq -r '.worker.hosts | sort | join(" ")' "$scratch/inventory.json")" "worker-1 worker-2" "hosts of group worker"

claim "version v2 replaces v1 worker by worker without a failed request"
set_version v2
start_asking
must up --yes
until_true "v2 from both workers" 20 both_serve
stop_asking
grep -q ' v1$' "$scratch/answers" || fail "the requests began too late to see v1"
grep -q ' v2$' "$scratch/answers" || fail "the requests ended before v2"
check_alternates v2
nothing_to_do

claim "version v3, whose test fails, stops at the first worker, is rolled back there, and up says so"
set_version v3
start_asking
code=0 && ud up --yes || code=$?
stop_asking
same $code 1 "exit code"
cat "$scratch/out" "$scratch/err" >"$scratch/said"
says "$scratch/said" 'worker-1` went back to v2'
! grep -qE ' v3$' "$scratch/answers" || fail "v3 was served"
for name in worker-1 worker-2; do
  same "$(ask "http://$(address_of $name):8080/")" "$name v2" "version on $name"
done
must exec worker-2 -- systemctl show hello --property=Description
says "$scratch/out" 'v2'
set_version v2
must up --yes
check_alternates v2

claim "a guest that died is seen, and up repairs it as the same machine"
id_before=$("$updraft" -C "$site" status --json | jq -er '.machines[] | select(.name == "worker-1") | .id')
pid=$(guest_of worker-1)
[[ $pid =~ ^[0-9]+$ ]] || fail "found guests \"$pid\" of worker-1"
kill -KILL "$pid"
until_true "the end of the guest" 10 test ! -d "/proc/$pid"
same "$(state_of worker-1)" dead "state of worker-1"
must up --yes
same "$(state_of worker-1)" running "state of worker-1"
same "$("$updraft" -C "$site" status --json | jq -er '.machines[] | select(.name == "worker-1") | .id')" \
  "$id_before" "identity of worker-1"
until_true "both workers" 30 both_serve
check_alternates v2
nothing_to_do

claim "after this machine lost its guests, bridge and rules, as in a reboot, up makes them again"
must status --json
identities=$(jq -c '[.machines[].id]' "$scratch/out")
forget_like_a_reboot "$(jq -er '.networks[0].bridge' "$scratch/out")"
must status --json
same "$(jq -c '[.networks[0].intact] + ([.machines[].state] | unique)' "$scratch/out")" '[false,"dead"]' "status"
must up --yes
must status --json
same "$(jq -c '[.machines[].id]' "$scratch/out")" "$identities" "identities"
until_true "both workers" 30 both_serve
check_alternates v2
nothing_to_do

claim "a machine that runs the agent of another updraft gets ours, and nothing else of it changes"
agent=/usr/lib/updraft/updraft-agent
# A byte more makes it another one that works. It is restarted from outside its own service.
must exec worker-2 -- sh -c "cp $agent $agent.other && echo >>$agent.other && mv $agent.other $agent &&
  systemd-run --quiet --on-active=1 systemctl restart updraft-agent"
until_true "a plan that names the agent" 60 plans_an_agent
must up
says "$scratch/err" 'it is of another updraft'
same "$(checksum_of_agent worker-1)" "$(checksum_of_agent worker-2)" "checksum of the agents"
nothing_to_do
check_alternates v2

claim "a machine is stopped and started by name"
must machine stop worker-2
same "$(state_of worker-2)" off "state of worker-2"
same "$(ask "$url")" "worker-1 v2" "who serves"
must machine start worker-2
must up --yes
until_true "both workers" 30 both_serve

claim "down stops the guests and keeps their disks"
must down
same "$(count_guests)" 0 "guests"

claim "destroy leaves nothing"
must destroy --yes
look_at_world >"$scratch/after"
diff -u "$scratch/before" "$scratch/after" >"$scratch/left" || fail "$(cat "$scratch/left")"
end_claim
echo "hello: every claim held in $SECONDS s" >&2
