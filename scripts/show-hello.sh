#!/usr/bin/env bash
# Asks the running hello example a few times through its balancer and prints who answers.
#
#   scripts/show-hello.sh UPDRAFT [SITE_FOLDER]
set -euo pipefail

updraft=$1
folder=${2:-examples/hello}

address=$("$updraft" -C "$folder" inventory --list |
  jq -er '._meta.hostvars[.balancer.hosts[0]].ansible_host')
printf '\nThe balancer is http://%s/ and answers:\n' "$address"
for _ in 1 2 3 4; do
  printf '  '
  curl --silent --show-error --fail --max-time 10 --retry 5 --retry-connrefused "http://$address/"
done
