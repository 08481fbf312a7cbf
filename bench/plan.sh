#!/usr/bin/env bash
# How long a plan without change takes, for growing sites of simulated machines, and for terraform.
#
#   bench/plan.sh [--sizes "1000 5000"] [--terraform "1000 2000"] [--rounds 5]
#
# terraform needs minutes to create ten thousand resources before it can be asked, so it is asked
# for less by default; `--terraform 10000` is the whole comparison. Without it installed only our
# own times are printed.
set -euo pipefail
cd "$(dirname "$0")/.."

sizes=(1000 5000 10000 20000)
terraform_sizes=(1000 2000)
rounds=5
while [ $# -gt 0 ]; do
  case $1 in
    --sizes) read -ra sizes <<<"$2" ;;
    --terraform) read -ra terraform_sizes <<<"$2" ;;
    --rounds) rounds=$2 ;;
    *) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" && exit 2 ;;
  esac
  shift 2
done

updraft=${UPDRAFT:-$PWD/target/release/updraft}
out=$PWD/bench/out
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
missed=0

make_site() {
  local size=$1 folder=$scratch/updraft-$1
  mkdir -p "$folder"
  cat >"$folder/updraft.yaml" <<SITE
site: bench
domain: bench.test
networks:
  lan: { cidr: 10.64.0.0/16 }
images:
  debian: { bootstrap: bookworm }
groups:
  web: { provider: sim, image: debian, network: lan, count: $size, memory: 256MiB }
SITE
  "$updraft" -C "$folder" up --yes >"$folder/up.log" 2>&1 || { tail -n 20 "$folder/up.log" >&2 && exit 1; }
}

make_terraform() {
  local size=$1 folder=$scratch/terraform-$1
  mkdir -p "$folder"
  cat >"$folder/main.tf" <<TERRAFORM
resource "terraform_data" "web" {
  count = $size
  input = "web-\${count.index}"
}
TERRAFORM
  terraform -chdir="$folder" init -no-color >"$folder/init.log" 2>&1
  terraform -chdir="$folder" apply -no-color -auto-approve >"$folder/apply.log" 2>&1
}

has_word() { case " $1 " in *" $2 "*) true ;; *) false ;; esac; }

for size in $(printf '%s\n' "${sizes[@]}" "${terraform_sizes[@]}" | sort -nu); do
  contestants=()
  agreed=()
  echo "making $size simulated machines" >&2
  make_site "$size"
  contestants+=(--of updraft "$updraft -C $scratch/updraft-$size plan --detailed-exitcode")
  if has_word "${terraform_sizes[*]}" "$size" && command -v terraform >/dev/null; then
    echo "making $size resources with terraform" >&2
    make_terraform "$size"
    contestants+=(--of terraform "terraform -chdir=$scratch/terraform-$size plan -no-color -detailed-exitcode")
  fi
  [ "$size" != 10000 ] || agreed=(--agreed 0.4)
  bench/measure.py --title "plan of $size machines without change" --rounds "$rounds" \
    --out "$out/plan-$size.json" "${agreed[@]}" "${contestants[@]}" || missed=1
done

echo "microseconds for each machine, which stay level when the time is linear:"
for size in "${sizes[@]}"; do
  jq -r --arg size "$size" '"  \($size): \(.results[0].median * 1e6 / ($size | tonumber) | round)"' "$out/plan-$size.json"
done
exit $missed
