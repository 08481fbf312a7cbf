#!/usr/bin/env bash
# Throws random bytes at everything that reads foreign ones, and says what fell over.
#
#   scripts/fuzz.sh                     every target of fuzz/, 60 seconds each
#   scripts/fuzz.sh SECONDS [TARGET…]   longer, shorter, or only these
#
# What was interesting is kept in target/fuzz/corpus/TARGET and begun with the next time; what made a
# target fall over is in target/fuzz/found/TARGET. It needs a nightly compiler and g++, and says so.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:$HOME/.cargo/bin

readonly SECONDS_EACH=${1:-60}
shift || true
HOST=$(uname -m)-unknown-linux-gnu
readonly HOST
readonly OUT=$PWD/target/fuzz

missing() {
  echo "fuzz: $1 is missing; $2" >&2
  exit 2
}

case $SECONDS_EACH in
'' | *[!0-9]*) missing "a number of seconds" "usage: scripts/fuzz.sh [SECONDS [TARGET…]]" ;;
esac
command -v cargo >/dev/null || missing "cargo" "scripts/setup.sh installs it"
cargo +nightly --version >/dev/null 2>&1 ||
  missing "a nightly compiler" "\`rustup toolchain install nightly --profile minimal\` installs it"
command -v g++ >/dev/null || missing "g++" "\`apt-get install g++\` installs it; libFuzzer is C++"

targets=("$@")
if [ ${#targets[@]} = 0 ]; then
  for file in fuzz/targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi
for target in "${targets[@]}"; do
  [ -f "fuzz/targets/$target.rs" ] || missing "fuzz/targets/$target.rs" "targets are in fuzz/targets"
done

# What cargo-fuzz asks of the compiler: count every edge, and see what is compared. No sanitizer of
# memory is needed: there is no unsafe code in what is tried.
flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
flags+=" -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
RUSTFLAGS=$flags cargo +nightly build --quiet --release --locked --manifest-path fuzz/Cargo.toml \
  --target "$HOST" --target-dir "$OUT" "${targets[@]/#/--bin=}" >&2

fallen=()
for target in "${targets[@]}"; do
  corpus=$OUT/corpus/$target found=$OUT/found/$target words=fuzz/words/$target
  mkdir -p "$corpus" "$found"
  options=(-max_total_time="$SECONDS_EACH" -max_len=4096 -timeout=20 -rss_limit_mb=2048)
  options+=(-print_final_stats=1 -artifact_prefix="$found/")
  if [ -f "$words" ]; then options+=(-dict="$words"); fi
  echo "== $target: $SECONDS_EACH s" >&2
  if ! "$OUT/$HOST/release/$target" "${options[@]}" "$corpus" >"$OUT/$target.log" 2>&1; then
    fallen+=("$target")
    tail -n 25 "$OUT/$target.log" >&2
  fi
  grep -E 'stat::(number_of_executed_units|peak_rss_mb)' "$OUT/$target.log" >&2 || true
done

if [ ${#fallen[@]} -gt 0 ]; then
  echo "fuzz: ${fallen[*]} fell over; what did it is in target/fuzz/found" >&2
  exit 1
fi
echo "fuzz: ${#targets[@]} targets, nothing fell over"
