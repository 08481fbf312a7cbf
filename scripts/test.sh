#!/usr/bin/env bash
# Runs the tiers of tests, stops at the first failure and says how long each step took.
#
#   scripts/test.sh unit    no root, no network, no guests
#   scripts/test.sh lab     root: namespaces, sshd hosts, QEMU guests
#   scripts/test.sh all     both
#   scripts/test.sh long    root and half an hour more: other shapes, snapshots, clones, disks that
#                           others made, other systems, databases, containers
#
# Without root and sudo the lab tier is skipped and said to be; LAB_REQUIRE=all makes that a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:$HOME/.cargo/bin
readonly UNIT_LIMIT_SECONDS=60

times=()
current=
beside_pid=

step() {
  current=$1
  shift
  local start=$SECONDS
  printf '\n== %s\n' "$current" >&2
  "$@"
  times+=("$(printf '%5d s  %s' $((SECONDS - start)) "$current")")
  current=
}

# Runs a step beside others, its output kept until `join` tells it.
beside() {
  beside_name=$1
  shift
  beside_log=$(mktemp)
  ("$@") >"$beside_log" 2>&1 &
  beside_pid=$!
}

# room_for N: fails now rather than in the middle where what N GB of tests leave has no room.
room_for() {
  local target=target there free
  mkdir -p "$target"
  there=$(du --summarize --block-size=1G "$target" | cut -f1)
  free=$(df --output=avail --block-size=1G "$target" | tail -n 1)
  if [ "$((there + free))" -lt "$1" ]; then
    printf 'test: the tests leave some %d GB in target/, and %d GB are free: make room first\n' \
      "$1" "$free" >&2
    return 1
  fi
}

# Waits for the step that goes on beside, and fails if it did.
join() {
  local code=0
  wait "$beside_pid" || code=$?
  printf '\n== %s, beside\n' "$beside_name" >&2
  cat "$beside_log" >&2
  rm -f "$beside_log"
  beside_pid=
  return $code
}

summary() {
  local code=$?
  if [ -n "$beside_pid" ]; then
    kill "$beside_pid" 2>/dev/null || true
    join || true
  fi
  printf '\n' >&2
  if [ ${#times[@]} -gt 0 ]; then printf '%s\n' "${times[@]}" >&2; fi
  if [ $code = 0 ]; then
    printf '%5d s  all; everything passed\n' "$SECONDS" >&2
  else
    printf '%5d s  until "%s" failed\n' "$SECONDS" "$current" >&2
  fi
}
trap summary EXIT
# Without these a run that is ended counts as one that passed.
trap 'exit 130' INT
trap 'exit 143' TERM

shell_scripts() {
  # Everything of ours that opens with a shell's interpreter line.
  grep -rlE '^#!/(usr/bin/env bash|bin/bash|bin/sh)$' scripts lab bench .ci
}

check_scripts() {
  if command -v shellcheck >/dev/null; then
    shell_scripts | xargs shellcheck -x
  else
    echo "SKIP: shellcheck is not installed" >&2
  fi
}

# Clippy lints our crates where they are compiled for the tests: a run of its own would look at
# everything once more. With the feature of the lab tier in each tier, so that nothing is compiled
# twice.
cargo_test() {
  RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/clippy-rustc.sh cargo test --workspace --locked --features lab "$@"
}

unit_tests() {
  local start=$SECONDS took
  cargo_test --quiet --lib --bins --test '[!l]*' --test 'l[!a]*'
  cargo_test --quiet --doc
  took=$((SECONDS - start))
  # Told and not failed: a busy machine is no fault of what is tested.
  if [ $took -gt $UNIT_LIMIT_SECONDS ]; then
    echo "NOTE: the unit tier took $took s, at most $UNIT_LIMIT_SECONDS s are agreed" >&2
  fi
}

# Built as the caller, run as root.
test_as_root() {
  CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=$PWD/scripts/as-root.sh cargo_test "$@"
}

lab_tests() {
  # One after the other: they share bridges and ports.
  test_as_root --test 'lab_[!r]*' -- --test-threads=1 "$@"
}

referee() {
  # Each of its stories has a folder of its own and shares nothing.
  test_as_root --test lab_referee -- --test-threads=2
}

unit_tier() {
  step "format" cargo fmt --all --check
  step "scripts" check_scripts
  # The end of the agent's build keeps one processor busy, that of the tests likewise.
  beside "agent" cargo xtask agent
  step "compile and lint" cargo_test --no-run
  step "agent" join
  step "tidy" cargo xtask tidy
  step "unit tier" unit_tests
}

lab_tier() {
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    echo "SKIP: the lab tier needs root or sudo" >&2
    [ "${LAB_REQUIRE:-}" != all ]
    return
  fi
  step "peers" scripts/peers.sh
  step "release build" cargo xtask build
  step "fleet" scripts/as-root.sh lab/check-fleet.sh
  step "logins" scripts/as-root.sh lab/logins.sh
  step "trees" scripts/as-root.sh lab/synchronize.sh
  step "plays, going wrong" scripts/as-root.sh lab/play-faults.sh
  # Two machines with cloud-init that boot twice: in the long tier.
  step "lab tier" lab_tests --skip others::
  step "referee" referee
  step "twin machines" scripts/as-root.sh lab/twins.py
  step "hello, end to end" scripts/as-root.sh lab/hello.sh
  step "images, end to end" scripts/as-root.sh lab/images.sh
  step "hello, crashing" scripts/as-root.sh lab/crash-hello.sh
  step "live starts, crashing" scripts/as-root.sh lab/live.sh
  step "hello, going wrong" scripts/as-root.sh lab/faults.sh
}

long_tier() {
  step "release build" cargo xtask build
  step "other shapes, crashing" scripts/as-root.sh lab/resize.sh
  step "snapshots, crashing" scripts/as-root.sh lab/snapshots.sh
  step "disks that others made" lab_tests others::
  step "clones" scripts/as-root.sh lab/clones.sh
  step "hooks" scripts/as-root.sh lab/hooks.sh
  step "a box" scripts/as-root.sh lab/box.sh
  step "ubuntu" scripts/as-root.sh lab/ubuntu.sh
  step "trixie" scripts/as-root.sh lab/trixie.sh
  step "databases" scripts/as-root.sh lab/databases.sh
  step "containers" scripts/as-root.sh lab/containers.sh
}

main() {
  # One command a line: bash forgets `set -e` on the left of `&&`.
  case ${1:-all} in
    unit) unit_tier ;;
    lab)
      room_for 14
      step "setup" scripts/setup.sh test
      lab_tier
      ;;
    all)
      room_for 14
      step "setup" scripts/setup.sh test
      unit_tier
      lab_tier
      ;;
    long)
      step "setup" scripts/setup.sh long
      long_tier
      ;;
    *)
      echo "usage: scripts/test.sh [unit|lab|all|long]" >&2
      exit 2
      ;;
  esac
}

main "$@"
