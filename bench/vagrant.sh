#!/usr/bin/env bash
# Vagrant with its libvirt provider, to be timed beside us: Debian's own, in a folder of its own.
#
#   bench/vagrant.sh install              into target/peers/vagrant, once: two minutes, 433 MB
#   bench/vagrant.sh box IMAGE BOX        packs the folder of an image of our store as a box
#   bench/vagrant.sh open IMAGE BOX       libvirt and the box, for as long as the input is open
#
# Needs root, mmdebstrap and namespaces; what is missing is said in one line. Everything of `open`
# lives in namespaces of its own: the first process in them ends with the input, whoever closes it,
# and with it end libvirt, dnsmasq and guests; bridges, firewall rules and mounts end with those.
# When libvirt answers, one line tells the process to enter by: `ready PID`.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly self=$PWD/bench/vagrant.sh home=$PWD/target/peers/vagrant
readonly root=$home/root session=$home/session

# Where the project and the kernel are for Vagrant. bench/vagrant.py knows the first one too.
readonly project=/srv/bench

# The suite says the versions: vagrant 2.3.4, vagrant-libvirt 0.11.2, libvirt 9.0, QEMU 7.2.
readonly suite=bookworm
readonly packages=vagrant,vagrant-libvirt,libvirt-daemon-system,libvirt-clients,qemu-system-x86,qemu-utils,dnsmasq-base,iptables,iproute2,openssh-client

die() { printf 'vagrant: %s\n' "$*" >&2 && exit 1; }

# Two runs would install into one folder, or take each other's session away.
lock() {
  exec 9>"$home/lock"
  flock --nonblock 9 || die "another run has $home"
}

is_installed() { [ "$(cat "$home/installed" 2>/dev/null || true)" = "$suite $packages" ]; }

install_peer() {
  local log=$home/install.log
  ! is_installed || return 0
  command -v mmdebstrap >/dev/null || die "mmdebstrap, which installs it, is missing"
  lock
  rm -rf --one-file-system "$root" "$home/installed"
  # In namespaces of its own nothing of it is left when it is cut off, its mounts least of all.
  unshare --mount --pid --fork --kill-child mmdebstrap --mode=root --variant=minbase --format=directory \
    --aptopt='Apt::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --include="$packages" \
    $suite "$root" >"$log" 2>&1 </dev/null || die "installing it failed, see $log: $(grep '^E: ' "$log" | head -n 1)"
  echo "$suite $packages" >"$home/installed"
}

# What a box needs besides the image, as Vagrant's "Creating a Base Box" asks for it: an account that
# everybody has the key of, which may become root, and an address by DHCP. A key of the host is
# there, so that the guest need not make one while it boots; nobody waits for our agent.
furnish() {
  local disk=$1 tree=$2 units network key_of_vagrant
  mount -o loop "$disk" "$tree"
  chroot "$tree" useradd --create-home --shell /bin/bash --password '*' vagrant
  echo 'vagrant ALL=(ALL) NOPASSWD:ALL' >"$tree/etc/sudoers.d/vagrant"
  chmod 440 "$tree/etc/sudoers.d/vagrant"
  key_of_vagrant=$(echo "$root"/usr/share/rubygems-integration/all/gems/vagrant-[0-9]*/keys/vagrant.pub)
  install -d -m 700 "$tree/home/vagrant/.ssh"
  install -m 600 "$key_of_vagrant" "$tree/home/vagrant/.ssh/authorized_keys"
  chroot "$tree" chown -R vagrant:vagrant /home/vagrant
  ssh-keygen -q -t ed25519 -N '' -C box -f "$tree/etc/ssh/ssh_host_ed25519_key"
  network=$tree/etc/systemd/network
  mkdir -p "$network"
  printf '[Match]\nName=eth*\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n' >"$network/10-box.network"
  printf '[DHCPv4]\nClientIdentifier=mac\n' >>"$network/10-box.network"
  units=$tree/etc/systemd/system
  ln -sf /dev/null "$units/updraft-agent.service"
  ln -sf /dev/null "$units/updraft-identity.service"
  umount "$tree"
}

make_box() {
  local image=$1 box=$2 work
  work=$(mktemp -d "$home/box.XXXXXX")
  # shellcheck disable=SC2064 # now: it is a local variable
  trap "rm -rf --one-file-system '$work'" EXIT
  mkdir "$work/tree"
  qemu-img convert -O raw "$image/disk.qcow2" "$work/disk.raw"
  unshare --mount "$self" furnish "$work/disk.raw" "$work/tree" || die "its box cannot be made"
  lab/pack-box.sh "$work/disk.raw" "$box"
}

# How libvirt runs where nothing else does: as root, without a service manager to ask for anything.
write_libvirt_words() {
  cat >etc/libvirt/qemu.conf <<'CONF'
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
CONF
  printf 'auth_unix_rw = "none"\nunix_sock_group = "root"\n' >etc/libvirt/libvirtd.conf
}

# COUNT machines with the memory and the processor of ours, DRIVER as ours are run. The kernel is
# started directly, as ours is. Not asked of Vagrant, for it takes time that is not the guests':
# synced folders, and a key of their own for each machine.
write_project() {
  cat >Vagrantfile <<'RUBY'
Vagrant.configure("2") do |config|
  config.vm.box = "updraft-bench"
  config.vm.boot_timeout = 900
  config.vm.synced_folder ".", "/vagrant", disabled: true
  config.ssh.insert_key = false
  config.vm.provider :libvirt do |guest|
    guest.driver = ENV.fetch("DRIVER")
    if guest.driver == "qemu"
      guest.cpu_mode = "custom"
      guest.cpu_model = "qemu64"
    end
    guest.memory = Integer(ENV.fetch("MEMORY"))
    guest.cpus = 1
    guest.graphics_type = "none"
    guest.video_type = "none"
    guest.kernel = "#{__dir__}/vmlinuz"
    guest.initrd = "#{__dir__}/initrd"
    guest.cmd_line = File.read("#{__dir__}/cmdline").strip
  end
  (1..Integer(ENV.fetch("COUNT"))).each do |number|
    config.vm.define("web-#{number}") { |machine| machine.vm.hostname = "web-#{number}" }
  end
end
RUBY
}

# The first process in the namespaces: mounts, then libvirt, then nothing until the input ends.
inside() {
  local image=$1 box=$2 pid
  # Before /proc is that of the new namespace, it tells our number outside.
  read -r pid _ </proc/self/stat
  mount -t overlay vagrant -o "lowerdir=$root,upperdir=$session/upper,workdir=$session/work" "$session/tree"
  cd "$session/tree"
  mount -t proc proc proc
  mount -t sysfs sysfs sys
  mount --rbind /dev dev
  mount -t tmpfs tmpfs run
  mount -t tmpfs tmpfs tmp
  ip link set lo up
  write_libvirt_words
  mkdir -p ".$project"
  cp "$image/vmlinuz" "$image/initrd" ".$project/"
  jq -er .cmdline "$image/image.json" >".$project/cmdline"
  (cd ".$project" && write_project)
  touch ".$project/box" && mount --bind "$box" ".$project/box"
  # shellcheck disable=SC2016 # its own variables
  exec chroot . /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 /bin/bash -c '
    libvirtd >/var/log/libvirtd.log 2>&1 </dev/null &
    deadline=$((SECONDS + 120))
    until virsh -q -c qemu:///system list >/var/log/virsh.log 2>&1 </dev/null; do
      kill -0 $! 2>/dev/null && [ $SECONDS -lt $deadline ] ||
        { echo "vagrant: libvirt does not answer: $(tail -n 1 /var/log/libvirtd.log /var/log/virsh.log | tr "\n" " ")" >&2; exit 1; }
      sleep 0.1
    done
    echo "ready $1"
    read -r _ || true' first "$pid"
}

open_session() {
  lock
  rm -rf --one-file-system "$session"
  mkdir -p "$session"/{upper,work,tree}
  # Not for those inside: what they left is of no use to anybody.
  trap 'rm -rf --one-file-system "$session"' EXIT
  unshare --mount --net --pid --ipc --uts --fork --kill-child "$self" inside "$@" ||
    die "its namespaces cannot be made or ended early"
}

[ "$(id -u)" = 0 ] || die "it needs root"
mkdir -p "$home"
case ${1:-} in
  install) install_peer ;;
  box) make_box "$2" "$3" ;;
  open) open_session "$2" "$3" ;;
  furnish) furnish "$2" "$3" ;;
  inside) inside "$2" "$3" ;;
  *) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
