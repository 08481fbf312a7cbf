#!/usr/bin/env bash
# What goes wrong on the way of the hello example, provoked on real guests: each time there is one
# clear error that says what to do, nothing is lost, and the same command goes on afterwards.
#
# The site lives on a small disk of its own and uses a store of its own, which shares the images that
# this machine has. Needs root, a release build, python3.
set -euo pipefail
# shellcheck source=lab/common.sh
. "$(dirname "$0")/common.sh"

disk=$scratch/disk
site=$disk/hello
export UPDRAFT_STORE=$scratch/store
around=10.73.0.200/32
shown=$scratch/shown

stop_everything() {
  local code=$?
  ip link del faults0 2>/dev/null || true
  ip netns del faults 2>/dev/null || true
  rm -f "$disk/filler"
  if [ "$code" != 0 ]; then cat "$scratch/out" "$scratch/err" "$shown" >&2 2>/dev/null || true; fi
  # What is left for a look outlives neither its guests nor the disk they are on.
  end_site "$site"
  end_site "$scratch/other"
  umount "$scratch/full" 2>/dev/null || true
  umount "$disk" || true
  clean_up $code
}
trap stop_everything EXIT

end_site() {
  if [ -d "$1/.updraft" ]; then "$updraft" -C "$1" destroy --yes >/dev/null 2>&1 || true; fi
}

# Fails with this exit code, and says these words.
fails() {
  local expected=$1 words=$2 code=0
  shift 2
  ud "$@" || code=$?
  same $code "$expected" "exit code of updraft $*"
  cat "$scratch/out" >>"$scratch/err"
  says "$scratch/err" "$words"
}

# The same where some programs are not installed.
fails_without() {
  local program=$1 words=$2 code=0
  shift 2
  # shellcheck disable=SC2016 # for the inner shell
  unshare --mount sh -c 'mount --bind /dev/null "$(command -v "$0")" && exec "$@"' "$program" \
    "$updraft" -C "$site" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null || code=$?
  same $code 1 "exit code of updraft $* without $program"
  says "$scratch/err" "$words"
}

# Runs our program on a terminal where keys are typed when words are shown: WORDS KEYS … -- ARGUMENT…
types() {
  local keys=() code=0
  while [ "$1" != -- ]; do
    keys+=(--when "$1" "$2")
    shift 2
  done
  shift
  lab/terminal.py --within 100 "${keys[@]}" -- "$updraft" -C "$site" "$@" >"$shown" 2>&1 || code=$?
  return $code
}

state_of() { "$updraft" -C "$site" status --json | jq -er --arg name "$1" '.machines[] | select(.name == $name) | .state'; }
is_in_state() { [ "$(state_of "$1")" = "$2" ]; }
identities() { "$updraft" -C "$site" status --json | jq -ec '[.machines[].id]'; }
no_guests() { [ "$(count_guests)" = 0 ]; }

# Leaves no room in the store when an image has begun to be built.
fill_while_building() {
  until_true "the download" 60 grep -q downloading "$scratch/err"
  fallocate -l 4g "$scratch/full/filler" 2>/dev/null || dd if=/dev/zero of="$scratch/full/filler" bs=1M status=none 2>/dev/null || true
}

come_second() {
  until_true "somebody at the console" 20 grep -q leaves "$shown.first"
  lab/terminal.py -- "$updraft" -C "$site" machine console worker-1 >"$shown" 2>&1 || true
}

mkdir "$disk"
mount -t tmpfs -o size=96m tmpfs "$disk"
copy_site
mkdir "$UPDRAFT_STORE"
for part in images bases; do
  if [ -d "/var/lib/updraft/$part" ]; then
    cp -al "/var/lib/updraft/$part" "$UPDRAFT_STORE/" 2>/dev/null || cp -a "/var/lib/updraft/$part" "$UPDRAFT_STORE/"
  fi
done
look_at_world >"$scratch/before"

claim "an address that this machine uses is refused before anything is made"
ip link add faults0 type veth peer name faults1
ip addr add $around dev faults0
ip link set faults0 up
fails 1 'overlaps 10.73.0.200/32 on interface faults0' up --yes
says "$scratch/err" 'another .cidr:'
ip link del faults0
no_guests || fail "there are guests"

claim "an interface that has our bridge's name and is not ours is left alone"
must plan -o "$scratch/plan"
bridge=$(jq -er '[.. | .bridges? // empty | .lan // empty][0]' "$scratch/plan")
ip link add "$bridge" type bridge
fails 1 "interface $bridge already and it is not ours" up --yes
ip link del "$bridge"

claim "a store that is full, or becomes full while an image is built, keeps nothing half made"
mkdir "$scratch/full"
mount -t tmpfs -o size=64m tmpfs "$scratch/full"
UPDRAFT_STORE=$scratch/full fails 1 'needs 3GiB of disk space' up --yes
mount -o remount,size=3100m "$scratch/full"
fill_while_building &
UPDRAFT_STORE=$scratch/full fails 1 'no space left on device|disk is full' up --yes --verbose
wait
says "$scratch/err" 'free some'
rm "$scratch/full/filler"
same "$(find "$scratch/full/images" "$scratch/full/tmp" -mindepth 1 2>/dev/null)" '' "left of the image"
umount "$scratch/full"

claim "a missing program is named with its package"
fails_without nft 'apt-get install nftables' up --yes
UPDRAFT_STORE=$scratch/empty fails_without mmdebstrap 'apt-get install mmdebstrap' up --yes
fails_without qemu-system-x86_64 'apt-get install qemu-system-x86' up --yes
no_guests || fail "there are guests"

claim "Ctrl-C once stops between steps, and says so"
types "configure" '\x03' -- up --yes && fail "it was not stopped"
says "$shown" 'Stopping when the running steps are done'
says "$shown" 'The same command goes on'
same "$(count_guests)" 3 "guests"
ids=$(identities)

claim "Ctrl-C twice stops at once, and the same command goes on with nothing doubled"
types "bring hello" '\x03' "Ctrl-C again" '\x03' -- up --yes && fail "it was not stopped"
says "$shown" 'Stopping at once'
must up --yes
same "$(count_guests)" 3 "guests"
remember_mark
same "$(identities)" "$ids" "identities"
must up
says "$scratch/err" 'nothing to do'

claim "a console is typed at on a terminal, left by its key, and for one at a time"
types "Ctrl-] leaves it" '\r' "login:" '\x1d' -- machine console worker-1 || fail "it ended with $?"
says "$shown" 'Left the console'
fails 2 'needs a terminal' machine console worker-1
come_second &
lab/terminal.py --within 8 --when 'leaves it' '\r' --when 'no such words' 'x' -- \
  "$updraft" -C "$site" machine console worker-1 >"$shown.first" 2>&1 || true
wait
says "$shown" 'in use by .*machine console'

claim "a disk that becomes full stops what waits for it, and room lets it go on"
must exec worker-1 -- sh -c 'head -c 3M /dev/urandom >/var/tmp/some; sync'
fallocate -l "$(($(df --output=avail -B1 "$disk" | tail -n 1) - (2 << 20)))" "$disk/filler"
fails 1 'worker-1' exec worker-1 --timeout 5s -- sh -c 'head -c 20M /dev/urandom >/var/tmp/more; sync'
until_true "a guest that stands still" 20 is_in_state worker-1 stuck
sed -i 's/^  tasks:/  tasks:\n    - command: sh -c "echo one more >>\/var\/tmp\/some"/' "$site/plays/worker.yaml"
fails 1 'its disk cannot be written|disk is full' up --yes
rm "$disk/filler"
must up --yes
same "$(identities)" "$ids" "identities"
says "$scratch/err" 'it stands still'

claim "an image is not removed under its guests, and one that vanished is named"
digest=$("$updraft" image ls --json | jq -er --arg site "$site" 'first(.[] | select(.used_by | tostring | contains($site))).digest')
fails 2 'in use by .*hello' image rm "$digest"
must machine stop worker-2
mv "$UPDRAFT_STORE/images/$digest" "$scratch/away"
fails 1 "is not there" machine start worker-2
mv "$scratch/away" "$UPDRAFT_STORE/images/$digest"
must plan -o "$scratch/plan"

claim "a saved plan is applied exactly, and refused when the world moved"
must up "$scratch/plan"
fails 1 'no longer fits' up "$scratch/plan"

claim "a port that somebody else has is told, and free again it serves"
must service stop hello --limit worker-2
must exec worker-2 -- systemd-run --quiet --unit=squatter python3 -m http.server 8080
until_true "the other server" 30 curl --silent "http://$(address_of worker-2):8080/"
fails 1 'hello v1 does not .* on .worker-2.' up --yes
must exec worker-2 -- systemctl stop squatter
must up --yes
must service test hello

claim "a guest whose interface was taken is started anew as the same machine"
tap=$(ip -o link show master "$bridge" | awk -F': ' 'NR == 1 {print $2}')
ip link del "$tap"
must plan
says "$scratch/out" 'it stands still'
must up --yes
same "$(identities)" "$ids" "identities"

claim "two sites do not share a network"
cp -r "$site" "$scratch/other"
rm -rf "$scratch/other/.updraft"
site=$scratch/other fails 1 "overlaps 10.73.0.0/24 on interface $bridge" up --yes
"$updraft" -C "$scratch/other" destroy --yes >"$scratch/out" 2>&1 || fail "destroy ended with $?"
must up

claim "what would be destroyed is asked for on a terminal, and refused elsewhere"
sed -i 's/^\( *worker:.*\)count: 2/\1count: 1/' "$site/updraft.yaml"
fails 2 'nobody can be asked' up
types '[y/N]' 'n\r' -- up && fail "no was taken for yes"
types '[y/N]' '\x03' -- up && fail "Ctrl-C was taken for yes"
says "$shown" 'Nothing was changed'
same "$(count_guests)" 3 "guests"
types '[y/N]' 'y\r' -- up || fail "it ended with $?"
same "$(count_guests)" 2 "guests"

claim "a balancer that cannot start with what it is told goes on without it"
must exec balancer-1 -- sh -c 'rm -r /etc/haproxy/updraft.d /etc/default/haproxy; systemctl restart haproxy'
sed -i 's/listen: 80,/listen: 22,/' "$site/updraft.yaml"
fails 1 'haproxy' up --yes
must exec balancer-1 -- sh -c 'systemctl is-active haproxy && ! ls /etc/haproxy/updraft.d/hello.cfg'
sed -i 's/listen: 22,/listen: 80,/' "$site/updraft.yaml"
must up --yes
curl --silent --fail --output /dev/null "http://$(address_of balancer-1)/" || fail "the balancer does not serve"

claim "a firewall that keeps guests in is found by doctor"
ip netns add faults
ip netns exec faults nft 'add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'
ip netns exec faults "$updraft" doctor >"$scratch/out" 2>"$scratch/err" || true
says "$scratch/err" 'insert rule ip filter FORWARD iifname'
ip netns del faults

claim "destroy leaves nothing"
must destroy --yes
look_at_world >"$scratch/after"
diff -u "$scratch/before" "$scratch/after" >"$scratch/left" || fail "$(cat "$scratch/left")"
end_claim
echo "faults: every claim held in $SECONDS s" >&2
