#!/usr/bin/env bash
# What the stories on real guests share: claims, waiting, a copy of the example, looks at the world.
# shellcheck disable=SC2034 # used by the scripts that source this
set -euo pipefail

# Told to end, a story has not held, and clears away what it made.
trap 'exit 130' INT
trap 'exit 143' TERM

[ "$(id -u)" = 0 ] || { echo "this needs root: guests need a bridge" >&2 && exit 1; }
cd "$(dirname "${BASH_SOURCE[0]}")/.."
repository=$PWD
updraft=${UPDRAFT:-$repository/target/release/updraft}
[ -x "$updraft" ] || { echo "there is no $updraft: run make build" >&2 && exit 1; }

# Which process this is, so that no later one of the same id is taken for it.
process() { [ ! -e "/proc/$1/stat" ] || echo "$1 since $(sed 's/.*) //' "/proc/$1/stat" | cut -d ' ' -f 20)"; }

# A story that was killed could not clear away what it made, and its network would be taken for
# every one after it.
clear_after_killed() {
  local past config
  for past in "${TMPDIR:-/tmp}"/updraft-lab.*; do
    [ -s "$past/owner" ] || continue
    [ "$(process "$(cut -d ' ' -f 1 "$past/owner")")" != "$(cat "$past/owner")" ] || continue
    echo "clearing away what a killed run left in $past" >&2
    find "$past" -maxdepth 4 -name updraft.yaml | while read -r config; do
      [ ! -d "${config%/*}/.updraft" ] || "$updraft" -C "${config%/*}" destroy --yes >&2 </dev/null
    done
    findmnt -rno TARGET | awk -v under="$past/" 'index($0, under) == 1' | sort -r | xargs -r umount
    rm -rf "$past"
  done
}
clear_after_killed

scratch=$(mktemp -d "${TMPDIR:-/tmp}/updraft-lab.XXXXXX")
process $$ >"$scratch/owner"
site=$scratch/hello
last_claim=
claim_started=0

# Names what is shown next and says how long the claim before took.
claim() {
  end_claim
  last_claim=$1
  claim_started=$SECONDS
  printf '%s\n' "- $1" >&2
}

end_claim() {
  [ -z "$last_claim" ] || printf '    held, %d s\n' $((SECONDS - claim_started)) >&2
  last_claim=
}

fail() {
  printf 'FAILED: %s\n  %s\n' "$last_claim" "$*" >&2
  exit 1
}

until_true() {
  local what=$1 deadline=$((SECONDS + $2))
  shift 2
  until "$@" >"$scratch/last" 2>&1; do
    [ $SECONDS -lt $deadline ] || fail "gave up waiting for $what; last seen: $(tail -n 3 "$scratch/last")"
    sleep 0.1
  done
}

same() { [ "$1" = "$2" ] || fail "$3: expected \"$2\", found \"$1\""; }

says() { grep -qiE -- "$2" "$1" || fail "expected words like \"$2\" in: $(tail -n 20 "$1")"; }

# Runs our program on the copied site; its output is kept in $scratch/out and $scratch/err.
ud() { "$updraft" -C "$site" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null; }

# The same, where success is part of the claim.
must() { ud "$@" || fail "updraft $* ended with $?: $(tail -n 30 "$scratch/err" "$scratch/out")"; }

copy_site() {
  cp -r "$repository/examples/hello" "$site"
  rm -rf "$site/.updraft"
  # Another copy of the example may be up on this machine, and its network is taken then.
  sed -i "s|10\.77\.0\.0/24|10.73.0.0/24|" "$site/updraft.yaml"
  ssh-keygen -q -t ed25519 -N '' -C ops -f "$scratch/ops"
  cp "$scratch/ops.pub" "$site/ops.pub"
  printf '\nadmins:\n  ops: { keys: [ops.pub] }\n' >>"$site/updraft.yaml"
}

set_version() { sed -i -E "s/^( *version:) v[0-9]+/\1 $1/" "$site/updraft.yaml"; }

address_of() { "$updraft" -C "$site" inventory --list | jq -er --arg name "$1" '._meta.hostvars[$name].ansible_host'; }

balancer_url() { echo "http://$(address_of balancer-1)/"; }

ask() { curl --silent --show-error --fail --max-time 5 "$1"; }

url=
asker=

# Asks the balancer without a pause and writes down every answer, until it is told to stop.
start_asking() {
  : >"$scratch/answers"
  rm -f "$scratch/enough"
  (
    while [ ! -e "$scratch/enough" ]; do
      curl --silent --show-error --fail --max-time 5 "$url" >>"$scratch/answers" 2>&1 ||
        echo "FAILED $?" >>"$scratch/answers"
      # Two answers in a row are enough to see an interruption; the guests need the processor too.
      sleep 0.05
    done
  ) &
  asker=$!
  until_true "the first answer" 20 grep -q . "$scratch/answers"
}

stop_asking() {
  touch "$scratch/enough"
  wait "$asker"
  asker=
  if grep -vE '^worker-[12] v[0-9]+$' "$scratch/answers" >"$scratch/odd"; then
    fail "$(wc -l <"$scratch/odd") of $(wc -l <"$scratch/answers") requests went wrong: $(head -n 3 "$scratch/odd")"
  fi
}

# Ends the asking when a claim did not hold.
drop_asking() {
  touch "$scratch/enough"
  if [ -n "$asker" ]; then wait "$asker" || true; fi
}

# Process ids of the site's guests. Every QEMU of ours names a file of the site's own folder.
guests() {
  local exe
  for exe in /proc/[0-9]*/exe; do
    [[ $(readlink "$exe" 2>/dev/null) == */qemu-system-* ]] || continue
    if tr '\0' '\n' 2>/dev/null <"${exe%exe}cmdline" | grep -qF "$site/.updraft"; then
      basename "${exe%/exe}"
    fi
  done
}

guest_of() {
  local pid
  for pid in $(guests); do
    if tr '\0' '\n' <"/proc/$pid/cmdline" | grep -qE "(^|[=,/])$1(\$|[,./])"; then echo "$pid"; fi
  done
}

count_guests() { guests | wc -l; }

# Processes that run our program or mention the copied site.
our_processes() {
  local folder
  for folder in /proc/[0-9]*; do
    case ${folder#/proc/} in "$$" | "$BASHPID") continue ;; esac
    if [ "$(readlink "$folder/exe" 2>/dev/null)" = "$updraft" ] ||
      tr '\0' ' ' 2>/dev/null <"$folder/cmdline" | grep -qF "$site"; then
      tr '\0' ' ' <"$folder/cmdline" 2>/dev/null && echo
    fi
  done
}

# What this site's files in the runtime directory have in their names. Other sites' come and go.
mark=
remember_mark() {
  mark=$(tr '\0' '\n' <"/proc/$(guests | head -n 1)/cmdline" | sed -nE 's|.*/run/updraft/([0-9a-z]{6})/.*|\1|p' | sort -u)
  [ -n "$mark" ] || fail "the guests' command lines do not name the site's runtime directory"
}

# Everything a site could leave on this machine outside the image store. The folder of namespaces is
# not of it: the first of a machine has `ip netns` make and mount that, for good.
look_at_world() {
  echo "== links" && ip -o link show | awk -F': ' '{print $2}' | sort
  echo "== addresses" && ip -o -4 addr show | awk '{print $2, $4}' | sort
  echo "== routes" && ip route show
  echo "== rules" && nft list ruleset
  echo "== namespaces" && ip netns list | cut -d ' ' -f 1 | sort
  echo "== forwarding" && cat /proc/sys/net/ipv4/ip_forward
  echo "== mounts" && findmnt -rno TARGET | grep -vx /run/netns | sort
  echo "== processes" && our_processes
  echo "== files" && find /etc /run -xdev \( -path /run/systemd -o -path /run/user -o -path /run/updraft -o -path /run/netns -o -path /run/udev -o -path /run/sudo \) -prune -o -print | sort
  echo "== runtime" && if [ -n "$mark" ] && [ -d /run/updraft ]; then find /run/updraft -ipath "*$mark*" | sort; fi
  echo "== site" && find "$site" | sort
}

# What the guests printed last, before they are destroyed.
show_consoles() {
  local log
  "$updraft" -C "$site" status >&2 || true
  for log in "$site"/.updraft/guests/*/console.log; do
    [ ! -e "$log" ] || { echo "== $log" && tail -c 2000 "$log" | tr -d '\r' | tail -n 20; } >&2
  done
}

clean_up() {
  local code=$1
  [ "$code" = 0 ] && end_claim
  if [ -d "$site/.updraft" ]; then
    [ "$code" = 0 ] || show_consoles
    "$updraft" -C "$site" destroy --yes >"$scratch/destroy.log" 2>&1 ||
      echo "destroy failed: $(tail -n 5 "$scratch/destroy.log")" >&2
  fi
  rm -f "$scratch/owner"
  if [ "$code" = 0 ]; then rm -rf "$scratch"; else echo "left for a look: $scratch" >&2; fi
}
