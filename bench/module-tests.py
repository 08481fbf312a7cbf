#!/usr/bin/env python3
"""Ansible's own integration tests of modules, run by us and by ansible-core on throw-away hosts.

These targets add users, install packages and write into /etc. Each runs in a root of its own: this
machine's file tree under an overlay in memory, in namespaces of its own, with no network but
loopback. Nothing of it stays. Needs root, and Debian, whose modules these are.

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

# The targets of the modules that repositories use most. Left out are `reboot` and `get_url`, `uri`
# and `subversion`, which need a machine to restart or servers on the network.
TARGETS = """
    apt apt_repository assemble blockinfile command_shell copy cron debconf
    dpkg_selections fetch file find getent git group hostname iptables known_hosts lineinfile
    mount_facts package package_facts pip ping raw replace script service service_facts slurp
    stat systemd tempfile template unarchive user wait_for
""".split()

# What the targets expect of a host, and a Debian may not have.
PACKAGES = """
    acl cron debconf-utils equivs faketime gnupg iptables libfaketime libuser python3-apt
    python3-debian python3-venv sudo
""".split()

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
"""

# Builds the root and enters it. $1: where the overlay's memory is mounted; $2: a directory that is
# seen inside as /mnt/out; the rest: the command.
ENTER = r"""
set -e
place=$1 out=$2; shift 2
mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs "$place"
mkdir "$place/work" "$place/root"
cp -a "$LAYER/upper" "$place/upper"
mount -t overlay overlay -o "lowerdir=/,upperdir=$place/upper,workdir=$place/work" "$place/root"
root=$place/root
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
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
for keep in $KEEP; do mkdir -p "$root$keep"; mount --bind "$keep" "$root$keep"; mount -o remount,ro,bind "$root$keep"; done
mkdir -p "$root/root/.ssh"
: >> "$root/root/.ssh/authorized_keys"
echo "127.0.0.1 testhost" >> "$root/etc/hosts"
ip link set lo up
hostname testhost
exec chroot "$root" "$@"
"""


def layer():
    """The layer with the packages, made once."""
    digest = hashlib.sha256(" ".join(PACKAGES).encode()).hexdigest()[:12]
    place = ROOT / "target/module-root" / digest
    if not (place / "whole").exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL",
                   "sh", "-c", LAYER, "sh", str(place), *PACKAGES]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (place / "whole").touch()
    return place


def run(who, target, program, packages):
    """Runs one target in a root of its own; what bench/ansible-tests.py says of it."""
    with tempfile.TemporaryDirectory(prefix="module-tests-") as folder:
        place, out = pathlib.Path(folder, "root"), pathlib.Path(folder, "out")
        place.mkdir()
        out.mkdir()
        inner = ["env", f"UPDRAFT={program}", "TMPDIR=/tmp", "HOME=/root", "UPDRAFT_STORE=/tmp/store",
                 "TESTS_HOME=/root", "TESTS_PYTHON=/usr/bin/python3",
                 sys.executable, str(ROOT / "bench/ansible-tests.py"), "--who", who,
                 "--out", "/mnt/out/result.json", target]
        # What lies below /tmp is hidden by the fresh one, so it is brought back where we need it.
        needed = {ROOT, pathlib.Path(program).resolve().parent, tests.PEERS.resolve()}
        keep = [str(place) for place in needed if str(place).startswith("/tmp/")
                and place.is_dir() and not any(other in place.parents for other in needed)]
        command = ["unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork",
                   "--kill-child=KILL", "sh", "-c", ENTER, "sh", str(place), str(out), *inner]
        env = {**os.environ, "LAYER": str(packages), "KEEP": " ".join(shlex.quote(place) for place in sorted(keep))}
        log = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, timeout=tests.LIMIT + 120)
        result = out / "result.json"
        if not result.exists():
            said = log.stdout.decode(errors="replace").splitlines()[-20:]
            return {"passes": False, "code": log.returncode, "seconds": 0.0, "said": said}
        return json.loads(result.read_text())[who][target]


def main():
    if os.geteuid() != 0:
        sys.exit("module-tests: needs root, for namespaces and an overlay")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    given, _, targets = tests.asked(__doc__, "module-tests.json", TARGETS)
    program = os.environ.get("UPDRAFT", str(ROOT / "target/release/updraft"))
    if given.who != "ansible" and not os.access(program, os.X_OK):
        sys.exit(f"module-tests: {program} is not there; `cargo xtask build` makes it")
    packages = layer()
    results = {}
    for who in ["ansible", "updraft"] if given.who == "both" else [given.who]:
        with concurrent.futures.ThreadPoolExecutor(given.width) as pool:
            rows = pool.map(lambda name: run(who, name, program, packages), targets)  # noqa: B023
            results[who] = dict(zip(targets, rows))
    tests.show(targets, results)
    tests.write(given.out, results)


if __name__ == "__main__":
    main()
