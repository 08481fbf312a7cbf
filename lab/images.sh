#!/usr/bin/env bash
# Tells the story of images: layers, sealing, tests, a disk that others made, images in a file.
#
# Needs root, a release build, and what lab/stock-disk.sh needs. The stock disk is kept in target/;
# images are in a store of this story's own, except Debian's, which is taken from the shared one.
set -euo pipefail
# shellcheck source=lab/common.sh
. "$(dirname "$0")/common.sh"

site=$scratch/pictures
store=$scratch/store
disk=$repository/target/lab-stock/disk.raw
server=
stock=

stop_everything() {
  local code=$?
  if [ -n "$stock" ]; then
    kill "$stock" 2>/dev/null || true
    wait "$stock" || true
  fi
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
  UPDRAFT_STORE=$store "$updraft" image rm --unused >/dev/null 2>&1 || true
  UPDRAFT_STORE=$scratch/stock-store "$updraft" image rm --unused >/dev/null 2>&1 || true
  clean_up $code
}
trap stop_everything EXIT

digest_of() { sha256sum "$1" | cut -d ' ' -f 1; }
image_of() { "$updraft" image ls --json | jq -er --arg name "$1" '.[] | select(.name == $name) | .digest'; }
left_behind() { find "$UPDRAFT_STORE/tmp" -mindepth 1 2>/dev/null | wc -l; }
# Machines of images being made are in the store.
machines() { cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n' | grep -c "^driver=qcow2.*filename=$store/tmp" || true; }

write_site() {
  cat >"$site/updraft.yaml" <<YAML
site: pictures
admins: { ops: { keys: [ops.pub] } }
networks: { lan: { cidr: 10.73.4.0/24 } }
images:
  debian: { bootstrap: bookworm }
  base: { from: debian, play: base.yaml, vars: { greeting: hello }, admins: [ops] }
  web:
    from: base
    play: web.yaml
    test: ["grep -q hello /etc/greeting", "test -e /etc/web", "getent passwd ops", "test -s /etc/ssh/ssh_host_ed25519_key"]
  cloud:
    url: http://127.0.0.1:$port/disk.raw.gz
    digest: sha256:$1
    test: ['test "\$(hostname)" = cloud', "systemctl is-active ssh", "ls /var/lib/cloud/instance/"]
YAML
}

mkdir -p "$site" "$scratch/served"
ssh-keygen -q -t ed25519 -N '' -C ops -f "$scratch/ops"
cp "$scratch/ops.pub" "$site/ops.pub"
cat >"$site/base.yaml" <<'YAML'
- hosts: all
  tasks:
    - copy: { content: "{{ greeting }}\n", dest: /etc/greeting }
    - shell: "echo secret > /home/ops/.bash_history; echo own > /var/log/own.log; echo junk > /tmp/junk"
YAML
printf -- '- hosts: image\n  tasks:\n    - file: { path: /etc/web, state: touch }\n' >"$site/web.yaml"

claim "a stock disk is at hand, and served"
"$repository/lab/stock-disk.sh" "$disk"
gzip -1 <"$disk" >"$scratch/served/disk.raw.gz"
python3 -u -m http.server --bind 127.0.0.1 --directory "$scratch/served" 0 >"$scratch/server" 2>&1 &
server=$!
until_true "the server" 20 grep -q 'port [0-9]' "$scratch/server"
port=$(sed -nE 's/.* port ([0-9]+).*/\1/p' "$scratch/server" | head -n 1)

claim "a file that is not the one that was named is refused, and nothing of it stays"
export UPDRAFT_STORE=$store
write_site "$(digest_of "$site/base.yaml")"
code=0 && ud image build cloud || code=$?
same $code 2 "exit code of a wrong digest"
says "$scratch/err" "$(digest_of "$scratch/served/disk.raw.gz")"
same "$(left_behind)" 0 "files left behind"

# Goes on beside the next claims, in a store of its own: it is one guest's boot, and a long one.
write_site "$(digest_of "$scratch/served/disk.raw.gz")"
cp -r "$site" "$scratch/stock"
UPDRAFT_STORE=$scratch/stock-store "$updraft" -C "$scratch/stock" image test cloud >"$scratch/stock-test" 2>&1 </dev/null &
stock=$!

claim "layers are made on a base that is there, by two builds at once, each layer once"
unset UPDRAFT_STORE
must image build debian
must image export debian "$scratch/debian.images"
export UPDRAFT_STORE=$store
must image import "$scratch/debian.images"
"$updraft" -C "$site" image build base >"$scratch/other" 2>&1 &
other=$!
must image build web
wait $other || fail "the build beside it: $(tail -n 5 "$scratch/other")"
same "$(cat "$scratch/err" "$scratch/other" | grep -c ': sealing')" 2 "layers made by both builds"

claim "a build that was done finds everything there"
must image build web debian base
says "$scratch/err" 'nothing to build'

claim "what would make two machines the same was taken out, and it is told"
must image show base --json
jq -e '[.removed[].what] | contains(["machine-id", "host keys", "random seeds", "histories", "logs", "temporary files"])' \
  "$scratch/out" >/dev/null || fail "the report is $(jq -c '[.removed[].what]' "$scratch/out")"
qemu-img convert -O raw "$store/images/$(image_of web)/disk.qcow2" "$scratch/raw"
for gone in /home/ops/.bash_history /var/log/own.log /tmp/junk /etc/ssh/ssh_host_ed25519_key \
  /var/lib/systemd/random-seed /var/lib/updraft/identity.json /etc/hostname; do
  debugfs -R "stat $gone" "$scratch/raw" 2>&1 | grep -q 'File not found' || fail "$gone is in the image"
done
same "$(debugfs -R 'cat /etc/machine-id' "$scratch/raw" 2>/dev/null)" "" "the machine-id in the image"
rm "$scratch/raw"

claim "an image is tested alone: it has what its layers brought, and keys of its own"
must image test web --json
jq -e '.ok and (.checks | length == 4)' "$scratch/out" >/dev/null || fail "$(cat "$scratch/out")"

claim "a test that fails shows why, with the end of the console"
sed -i 's|"test -e /etc/web"|"ls /etc/nothing"|' "$site/updraft.yaml"
code=0 && ud image test web || code=$?
same $code 1 "exit code of a test that fails"
says "$scratch/out" 'failed *ls /etc/nothing'
says "$scratch/err" 'end of its console'

claim "an image that others lie on is not removed, and they are named"
base=$(image_of base) web=$(image_of web)
! ud image rm "$base" || fail "it was removed"
says "$scratch/err" "image ${web:0:12} \(web\)"

claim "a build that is killed leaves a machine that the next build takes away; lower layers are kept"
printf '    - command: sleep 300\n' >>"$site/web.yaml"
"$updraft" -C "$site" image build web >"$scratch/other" 2>&1 &
other=$!
until_true "the machine that makes the layer" 60 grep -q 'telling it' "$scratch/other"
kill -KILL $other
wait $other 2>/dev/null || true
sed -i '$d' "$site/web.yaml"
sed -i 's|/etc/web,|/etc/web, mode: "0600",|' "$site/web.yaml"
must image build web
! grep -q 'base: ' "$scratch/err" || fail "the layer below was made again: $(cat "$scratch/err")"
same "$(left_behind)" 0 "files left behind"
same "$(machines)" 0 "machines left behind"

claim "images travel in a file that is compared before anything is taken in"
must image export "$(image_of web | sed -n 1p)" "$scratch/web.images"
export UPDRAFT_STORE=$scratch/elsewhere
cp "$scratch/web.images" "$scratch/bad.images"
printf 'x' | dd of="$scratch/bad.images" bs=1 seek=$(($(stat -c %s "$scratch/bad.images") / 2)) conv=notrunc status=none
code=0 && ud image import "$scratch/bad.images" || code=$?
same $code 2 "exit code of a changed file"
same "$("$updraft" image ls --json | jq length)" 0 "images taken out of a changed file"
must image import "$scratch/web.images"
must image build web
says "$scratch/err" 'nothing to build'

claim "a stock disk boots by its own boot loader, is told who it is by a seed, and passes its test"
wait $stock || fail "image test cloud ended with $?: $(tail -n 30 "$scratch/stock-test")"
stock=
same "$(find "$scratch/stock-store/tmp" -mindepth 1 2>/dev/null | wc -l)" 0 "files left behind"

claim "everything unused goes, layers before what they lie on"
for UPDRAFT_STORE in "$scratch/elsewhere" "$store"; do
  export UPDRAFT_STORE
  must image rm --unused
  same "$("$updraft" image ls --json | jq length)" 0 "images left"
  same "$(find "$UPDRAFT_STORE" -name '*.qcow2' -o -name root.tar | wc -l)" 0 "disks and systems left"
  same "$(left_behind)" 0 "files left behind"
done
same "$(machines)" 0 "machines left behind"
end_claim
