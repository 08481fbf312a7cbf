#!/usr/bin/env bash
# Installs what Updraft needs on a Debian machine: only what is missing, saying what and why.
#
#   scripts/setup.sh          to build and to run guests
#   scripts/setup.sh test     the same, and what the tests use
#   scripts/setup.sh long     the same, and what the long tier uses
set -euo pipefail

readonly WANTED_RUST=1.95

# package, and what for; the first word is what apt is asked for
for_running=(
  "gcc: links our programs and compiles the bundled SQLite"
  "libc6-dev: the C library to link with, static for the agent"
  "make: runs the targets of the Makefile"
  "ca-certificates: trust for downloads"
  "qemu-system-x86: runs the guests"
  "qemu-utils: qemu-img makes their disks"
  "mmdebstrap: makes Debian images without mounts"
  "debian-archive-keyring: trust for the packages in images"
  "e2fsprogs: mke2fs makes file systems offline"
  "nftables: address translation for guests"
  "iproute2: bridges and taps, and looking at them"
  "openssh-client: ssh to machines, ssh-keygen"
  "curl: fetches images, shows the example serving"
  "ovmf: boots images that want UEFI"
  "xz-utils: unpacks images"
  "zstd: unpacks images"
  "jq: reads our JSON in scripts"
)
for_testing=(
  "openssh-server: sshd for the fleet of fake hosts, never started on this machine"
  "python3: runs modules of Ansible and small scripts of the lab"
  "python3-venv: holds the peers we are compared with"
  "grub-pc-bin: boot loader of a stock disk for BIOS"
  "grub-efi-amd64-bin: the same for UEFI"
  "grub-common: puts both together"
  "mtools: writes the partition that UEFI reads"
  "procps: looks at processes in the lab"
  "rsync: keeps trees of the lab the same"
  "util-linux: unshare and nsenter for the lab"
  "shellcheck: reads our shell scripts"
)

# Ubuntu's keys, which Debian 12 does not have: its own package, by the digest that its archive signed.
readonly UBUNTU_KEYS=pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb
readonly UBUNTU_KEYS_SHA256=36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

is_installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo -- "$@"
  else
    die "installing packages needs root: run this as root, or install sudo"
  fi
}

# Never at the price of a package that is there: QEMU's tools of one version would take those of
# another one away, and what was installed before us is not ours.
apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends --no-remove \
    -o DPkg::Lock::Timeout=300 "$@" >&2
}

# Parts of QEMU that are installed, asked for in the version of this release.
qemu_of() {
  local package
  for package in qemu-utils qemu-system-x86; do
    if is_installed $package; then echo "$package/$1"; fi
  done
}

# Whether the package lists of this machine have all of them.
are_known() {
  local package
  for package in "$@"; do apt-cache show --no-all-versions "$package" >/dev/null 2>&1 || return 1; done
}

# A service that a package brings is not started behind the operator's back.
hold_services() {
  local policy=/usr/sbin/policy-rc.d
  [ -e "$policy" ] && return
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
  as_root chmod 755 "$policy"
  trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
}

install_missing() {
  local line package missing=()
  for line in "$@"; do
    package=${line%%:*}
    if ! is_installed "$package"; then
      say "needs $line"
      missing+=("$package")
    fi
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "this is not Debian: please install ${missing[*]}"
  hold_services
  # The package lists of the machine are used as they are while they will do.
  if are_known "${missing[@]}" && apt_install "${missing[@]}"; then
    after_install "${missing[@]}"
    return
  fi
  say "refreshing the package lists"
  as_root apt-get update -q -o DPkg::Lock::Timeout=300 >&2 || say "some package lists are old"
  if apt_install "${missing[@]}"; then
    after_install "${missing[@]}"
    return
  fi
  # QEMU's packages must be of one version; some of them may be from backports already.
  local release
  # shellcheck source=/dev/null
  release=$(. /etc/os-release && echo "$VERSION_CODENAME")
  say "trying the same from backports"
  if ! apt_install -t "$release-backports" "${missing[@]}"; then
    say "bringing QEMU to the version of $release"
    # shellcheck disable=SC2046 # words
    apt_install --allow-downgrades "${missing[@]}" $(qemu_of "$release") ||
      die "could not install ${missing[*]}"
  fi
  after_install "${missing[@]}"
}

# The machine does not get a login service at its next boot because we wanted the program.
after_install() {
  case " $* " in
    *" openssh-server "*)
      if [ -d /run/systemd/system ]; then as_root systemctl disable --quiet ssh >&2; fi
      ;;
  esac
}

install_ubuntu_keys() {
  if is_installed ubuntu-keyring; then return; fi
  say "needs ubuntu-keyring: trust for the packages in images of Ubuntu"
  local folder mirror=${UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu}
  folder=$(mktemp -d)
  curl --fail --silent --show-error --location --retry 3 --output "$folder/keys.deb" "$mirror/$UBUNTU_KEYS"
  if ! echo "$UBUNTU_KEYS_SHA256 $folder/keys.deb" | sha256sum --check --quiet; then
    rm -r "$folder"
    die "$mirror/$UBUNTU_KEYS is not the package that it was"
  fi
  as_root dpkg --install "$folder/keys.deb" >&2
  rm -r "$folder"
}

check_rust() {
  PATH=$PATH:$HOME/.cargo/bin
  command -v cargo >/dev/null || die "cargo is not installed: get Rust $WANTED_RUST or later from https://rustup.rs"
  local have
  have=$(rustc --version | cut -d ' ' -f 2)
  if [ "$(printf '%s\n' "$WANTED_RUST" "$have" | sort -V | head -n 1)" != "$WANTED_RUST" ]; then
    die "Rust is $have and must be $WANTED_RUST or later: rustup update stable"
  fi
}

main() {
  check_rust
  case ${1:-run} in
    run) install_missing "${for_running[@]}" ;;
    test) install_missing "${for_running[@]}" "${for_testing[@]}" ;;
    long)
      install_missing "${for_running[@]}" "${for_testing[@]}"
      install_ubuntu_keys
      ;;
    *) die "usage: scripts/setup.sh [test|long]" ;;
  esac
}

main "$@"
