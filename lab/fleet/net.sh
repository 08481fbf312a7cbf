#!/usr/bin/env bash
# The bridge of a fleet, in a namespace of its own, and its way out; sourced by lab/fleet.sh.
# shellcheck disable=SC2154 # names are set by lab/fleet.sh
set -euo pipefail

ensure_network() {
  local ctl=$name-ctl
  [ -e "/run/netns/$ctl" ] && return
  ip netns add "$ctl"
  ip -n "$ctl" -b - <<NET
link set lo up
link add br0 type bridge stp_state 0 forward_delay 0
addr add $net.0.1/16 dev br0
link set br0 up
NET
  if [ "$nat" = yes ]; then open_way_out; fi
}

# A cable from the fleet's namespace to this machine, with address translation at both ends.
open_way_out() {
  local ctl=$name-ctl outside=${name}-out
  cat /proc/sys/net/ipv4/ip_forward >"$dir/forwarding_before"
  ip link add "$outside" type veth peer name out netns "$ctl"
  ip addr add "$net.255.1/30" dev "$outside"
  ip link set "$outside" up
  ip -n "$ctl" -b - <<NET
addr add $net.255.2/30 dev out
link set out up
route add default via $net.255.1
NET
  echo 1 >/proc/sys/net/ipv4/ip_forward
  ip netns exec "$ctl" sysctl -qw net.ipv4.ip_forward=1
  ip netns exec "$ctl" nft -f - <<NFT
table ip fleet {
  chain out {
    type nat hook postrouting priority srcnat
    oifname "out" masquerade
  }
}
NFT
  nft -f - <<NFT
table ip updraft_lab_$name {
  chain out {
    type nat hook postrouting priority srcnat
    ip saddr $net.255.0/30 masquerade
  }
}
NFT
}

remove_network() {
  if [ -e "$dir/forwarding_before" ]; then
    cat "$dir/forwarding_before" >/proc/sys/net/ipv4/ip_forward
    if nft list table ip "updraft_lab_$name" >/dev/null 2>&1; then
      nft delete table ip "updraft_lab_$name"
    fi
    if ip link show "$name-out" >/dev/null 2>&1; then ip link del "$name-out"; fi
  fi
  if [ -e "/run/netns/$name-ctl" ]; then ip netns del "$name-ctl"; fi
}

# The cable of one host: an end on the bridge, an end inside the host.
ensure_cable() {
  local host=$1 ctl=$name-ctl
  [ -e "/run/netns/$name-$host" ] || ip netns add "$name-$host"
  if ! ip -n "$ctl" link show "$name$host" >/dev/null 2>&1; then
    ip link add "$name$host" netns "$ctl" type veth peer name eth0 netns "$name-$host"
  fi
  printf 'link set %s master br0\nlink set %s up\n' "$name$host" "$name$host" | ip -n "$ctl" -b -
  ip -n "$name-$host" -b - <<NET
link set lo up
addr replace $(address_of "$host")/16 dev eth0
link set eth0 up
route replace default via $net.0.1
NET
}
