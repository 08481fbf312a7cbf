#!/usr/bin/env bash
# Installs the peers we are compared with into target/peers, once, at fixed versions.
#
# ansible-core is the referee of our playbooks and inventories, and with mitogen and pyinfra a rival
# in bench/.
# Vagrant, which bench/vagrant.sh installs beside them, stays when they are made anew.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PEERS=(ansible-core==2.19.14 mitogen==0.3.54 pyinfra==3.10.0)
readonly FOLDER=$PWD/target/peers

if [ "$(cat "$FOLDER/installed" 2>/dev/null || true)" != "${PEERS[*]}" ]; then
  mkdir -p "$FOLDER"
  find "$FOLDER" -mindepth 1 -maxdepth 1 ! -name vagrant -exec rm -rf {} +
  python3 -m venv "$FOLDER"
  "$FOLDER/bin/pip" install --quiet --disable-pip-version-check "${PEERS[@]}" >&2
  echo "${PEERS[*]}" >"$FOLDER/installed"
fi
echo "$FOLDER/bin"
