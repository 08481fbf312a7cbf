#!/usr/bin/env python3
"""Ansible's own integration tests of modules, run by us and by ansible-core on throw-away hosts.

These targets add users, install packages and write into /etc. Each runs in a root of its own: this
machine's file tree under an overlay in memory, in namespaces of its own, with a systemd of its
own and no network but loopback. Nothing of it stays. Needs root, and Debian, whose modules these are.

  bench/module-tests.py                           # both, all targets
  bench/module-tests.py --who updraft file copy   # only us, only these

How a target is run and when it passes: bench/ansible-tests.py.
"""

import concurrent.futures
import hashlib
import importlib.util
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent

spec = importlib.util.spec_from_file_location("tests", ROOT / "bench/ansible-tests.py")
tests = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tests)

# The targets of the modules that repositories use most. Those that cannot pass without the
# internet or a machine to restart are among them, and fail for both.
TARGETS = """
    apt apt_key apt_repository assemble async blockinfile command_shell copy cron deb822_repository
    debconf dpkg_selections facts_d fetch file find get_url getent git group hostname iptables
    known_hosts lineinfile mount_facts package package_facts pip ping raw reboot replace script
    service service_facts slurp stat systemd tempfile template unarchive uri user wait_for
""".split()

# What the targets expect of a host, and a Debian may not have.
PACKAGES = """
    acl cron debconf-utils equivs faketime gnupg iptables libfaketime libuser python3-apt
    python3-debian python3-passlib python3-rpm python3-venv sudo unzip zip
""".split()

# Those that targets remove and install again.
AGAIN = "unzip zip".split()

# Where the layer has what the controller of ansible-core imports and no venv of ours has.
IMPORTS = "/opt/controller"

# Installs packages into a layer over this machine's tree. $1: the layer; the rest: packages.
LAYER = r"""
set -e
layer=$1; shift
mkdir -p "$layer/upper" "$layer/work" "$layer/root"
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=/,upperdir=$layer/upper,workdir=$layer/work" "$layer/root"
root=$layer/root
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
chroot "$root" sh -ec 'apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends "$@"
    apt-get clean; rm /usr/sbin/policy-rc.d' sh "$@"
rm -f "$root/etc/apt/apt.conf.d/docker-clean"
[ -z "$AGAIN" ] || chroot "$root" apt-get -qq install --reinstall --download-only $AGAIN
mkdir -p "$root$IMPORTS"
[ -z "$AGAIN" ] || cp -r "$root/usr/lib/python3/dist-packages/passlib" "$root$IMPORTS"
# Accounts that come and go on this machine are none of the hosts'.
for file in passwd group shadow gshadow; do
    cp -a "$root/etc/$file" "$root/etc/$file.own"; mv "$root/etc/$file.own" "$root/etc/$file"
done
"""

# Units that look at the machine's own devices and settings, or clean what is mounted here.
MASKED = """
    console-getty.service getty.target proc-sys-fs-binfmt_misc.automount sys-kernel-config.mount
    sys-kernel-debug.mount sys-kernel-tracing.mount systemd-binfmt.service
    systemd-journald-audit.socket systemd-logind.service systemd-modules-load.service
    systemd-networkd.service systemd-resolved.service systemd-sysctl.service
    systemd-timesyncd.service systemd-tmpfiles-clean.timer systemd-tmpfiles-setup-dev.service
    systemd-tmpfiles-setup.service systemd-udev-trigger.service systemd-udevd.service
""".split()

# What runs in a root, once its services do.
UNIT = """[Unit]
DefaultDependencies=no
Wants=sysinit.target dbus.service
After=sysinit.target dbus.service

[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=/bin/sh /mnt/out/command
StandardOutput=file:/mnt/out/log
StandardError=file:/mnt/out/log
ExecStopPost=/bin/systemctl exit 0
"""

# Goes into a control group of its own, and from there into namespaces. $1: the group; the rest:
# the command.
ALONE = r"""
echo $$ > "$1/cgroup.procs"; shift
exec unshare --mount --uts --ipc --net --pid --cgroup --fork --kill-child=KILL "$@"
"""

# Builds the root and has its systemd run /mnt/out/command. $1: where the overlay's memory is
# mounted; $2: a directory that is seen inside as /mnt/out.
ENTER = r"""
set -e
place=$1 out=$2
mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs "$place"
mkdir "$place/work" "$place/root"
cp -a "$LAYER/upper" "$place/upper"
mount -t overlay overlay -o "lowerdir=/,upperdir=$place/upper,workdir=$place/work" "$place/root"
root=$place/root
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=0755 tmpfs "$root/dev"
for node in null zero full random urandom tty; do
    : > "$root/dev/$node"; mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for name in stdin:0 stdout:1 stderr:2; do
    ln -s "/proc/self/fd/${name#*:}" "$root/dev/${name%:*}"
done
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=0755 tmpfs "$root/run"
mkdir -p "$root/run/lock" "$root/mnt/out"
mount --bind "$out" "$root/mnt/out"
for keep in $KEEP; do
    mkdir -p "$root$keep"; mount --bind "$keep" "$root$keep"; mount -o remount,ro,bind "$root$keep"
done
mkdir -p "$root/root/.ssh"
ssh-keygen -q -t ed25519 -N "" -f "$root/root/.ssh/id_ed25519"
cp "$root/root/.ssh/id_ed25519.pub" "$root/root/.ssh/authorized_keys"
echo "127.0.0.1 localhost testhost" > "$root/etc/hosts"
# A target takes the templates of every git there is; only Debian's has a package.
rm -rf "$root/usr/local/share/git-core"
rm -f "$root/etc/fstab"
for unit in $MASKED; do ln -sf /dev/null "$root/etc/systemd/system/$unit"; done
cp "$out/unit" "$root/etc/systemd/system/module-tests.service"
ip link set lo up
hostname testhost
exec env -i container=module-tests PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" \
    /lib/systemd/systemd --system --unit=module-tests.service --show-status=false
"""


def layer(packages, again):
    """The layer with the packages, made once. Those of `again` can be installed again offline."""
    made_of = " ".join([LAYER, *packages, *again])
    digest = hashlib.sha256(made_of.encode()).hexdigest()[:12]
    place = ROOT / "target/module-root" / digest
    if not (place / "whole").exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL",
                   "sh", "-c", LAYER, "sh", str(place), *packages]
        env = {**os.environ, "AGAIN": " ".join(again), "IMPORTS": IMPORTS}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env)
        (place / "whole").touch()
    return place


def groups():
    """Where control groups of the second version are made."""
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return pathlib.Path(place)
    sys.exit("module-tests: needs a mounted cgroup2 hierarchy, for the systemd of each root")


def remove(group):
    """Takes a control group away, with those below."""
    for place, _, _ in os.walk(group, topdown=False):
        os.rmdir(place)


def command(who, target, program, lines, source):
    """The script that runs one target inside its root."""
    ssh = "needs/ssh" in tests.words_of(source / "test/integration/targets" / target)
    env = {"UPDRAFT": str(program), "TMPDIR": "/tmp", "HOME": "/root", "UPDRAFT_STORE": "/tmp/store",
           "TESTS_HOME": "/root", "TESTS_PYTHON": "/usr/bin/python3"}
    if ssh:
        env["TESTS_SSH"] = "/root/.ssh/id_ed25519"
    if who == "ansible":
        env["TESTS_IMPORTS"] = IMPORTS
    words = [sys.executable, str(ROOT / "bench/ansible-tests.py"), "--who", who,
             "--lines", str(lines), "--out", "/mnt/out/result.json", target]
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in env.items())
    start = "systemctl start ssh\n" if ssh else ""
    return f"{exports}{start}exec {shlex.join(words)}\n"


def run(who, target, program, packages, given, source):
    """Runs one target in a root of its own; what bench/ansible-tests.py says of it."""
    needed = [ROOT, pathlib.Path(program).resolve().parent, tests.PEERS.resolve()]
    line = command(who, target, program, given.lines, source)
    said, result = enter(packages, line, needed, tests.LIMIT + 120)
    if result is None:
        return {"passes": False, "code": None, "seconds": 0.0, "said": said.splitlines()[-20:]}
    return json.loads(result)[who][target]


def enter(packages, command, needed, limit):
    """Has a shell run a command in a root of its own; what was said, and what the command has
    written to /mnt/out/result.json, if anything. What lies below the folders in `needed` is seen."""
    with tempfile.TemporaryDirectory(prefix="module-tests-") as folder:
        place, out = pathlib.Path(folder, "root"), pathlib.Path(folder, "out")
        place.mkdir()
        out.mkdir()
        (out / "unit").write_text(UNIT)
        (out / "command").write_text(command)
        # What lies below /tmp is hidden by the fresh one, so it is brought back where we need it.
        needed = set(needed)
        keep = [str(place) for place in needed if str(place).startswith("/tmp/")
                and place.is_dir() and not any(other in place.parents for other in needed)]
        group = pathlib.Path(tempfile.mkdtemp(prefix="module-tests-", dir=groups()))
        words = ["sh", "-c", ALONE, "sh", str(group), "sh", "-c", ENTER, "sh", str(place), str(out)]
        env = {**os.environ, "LAYER": str(packages), "MASKED": " ".join(MASKED),
               "KEEP": " ".join(shlex.quote(place) for place in sorted(keep))}
        try:
            log = subprocess.run(words, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, timeout=limit)
        finally:
            remove(group)
        result, inside = out / "result.json", out / "log"
        said = log.stdout + (inside.read_bytes() if inside.exists() else b"")
        return said.decode(errors="replace"), result.read_text() if result.exists() else None


def main():
    if os.geteuid() != 0:
        sys.exit("module-tests: needs root, for namespaces and an overlay")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    given, source, targets = tests.asked(__doc__, "module-tests.json", TARGETS)
    program = os.environ.get("UPDRAFT", str(ROOT / "target/release/updraft"))
    if given.who != "ansible" and not os.access(program, os.X_OK):
        sys.exit(f"module-tests: {program} is not there; `cargo xtask build` makes it")
    packages = layer(PACKAGES, AGAIN)
    results = {}
    for who in ["ansible", "updraft"] if given.who == "both" else [given.who]:
        with concurrent.futures.ThreadPoolExecutor(given.width) as pool:
            rows = pool.map(lambda name: run(who, name, program, packages, given, source), targets)  # noqa: B023
            results[who] = dict(zip(targets, rows))
    tests.show(targets, results)
    tests.write(given.out, results)


if __name__ == "__main__":
    main()
