#!/usr/bin/env bash
# Runs every comparison, prints all results, and ends with 1 if an agreed figure was missed.
set -euo pipefail
cd "$(dirname "$0")/.."

missed=0
for script in plan exec play noop clone build; do
  printf '\n== %s\n' "$script"
  "bench/$script.sh" || missed=1
done
exit $missed
