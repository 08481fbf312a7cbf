"""Vagrant with its libvirt provider, brought up from the very image that our machines boot.

bench/vagrant.sh installs it, packs the box and keeps libvirt in namespaces of its own for as long
as its input is open, so nothing of it outlives the process that holds a `Vagrant`.
"""

import os
import re
import signal
import subprocess
import tempfile
import time

import clock

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPT = os.path.join(HERE, "vagrant.sh")

# Where bench/vagrant.sh puts the project, and where `vagrant ssh-config` is kept beside it.
PROJECT = "/srv/bench"
SSH_CONFIG = f"{PROJECT}/ssh_config"

# What an emulated guest takes of this machine's memory, whatever is its own (QEMU 7.2 with what
# libvirt asks of it, November 2026).
GUEST_MIB = 1450

# A command of Vagrant that is not over by then never ends: it waits 15 minutes for a guest itself.
TOO_LONG = 1800


class Absent(Exception):
    """Vagrant cannot take part, or no longer; says why."""


def memory_free():
    """MiB that this machine can give to new processes."""
    with open("/proc/meminfo", encoding="utf-8") as file:
        return int(re.search(r"^MemAvailable:\s+(\d+)", file.read(), re.M).group(1)) // 1024


def complaint(text):
    """What a command that failed said last, in one line."""
    # Of Ruby's trace the first line says why, the others where.
    lines = [line.strip().removeprefix("vagrant: ") for line in text.splitlines()
             if line.strip() and not re.match(r"\s*(from )?/\S+:\d+:in `\S+( \(.*\))?( in \S+)?'$", line)]
    return "; ".join(lines[-3:]) or "it said nothing"


def end(process):
    """Ends a process and those that it started, which are in a session of their own."""
    for number, patience in ((signal.SIGTERM, 60), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            pass


def script(*words):
    """Runs bench/vagrant.sh, whose last lines say why it failed."""
    process = subprocess.Popen([SCRIPT, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        said = process.communicate()[1]
    except BaseException:
        end(process)
        raise
    if process.returncode != 0:
        raise Absent(complaint(said))


class Vagrant:
    """A project of Vagrant inside namespaces that end with it."""

    def __init__(self, image, memory, driver):
        """Starts libvirt and adds the box. `image` is the folder of an image of our store, `memory`
        the MiB of a machine, `driver` what libvirt calls the way guests are run."""
        self.settings = {"MEMORY": str(memory), "DRIVER": driver, "COUNT": "1"}
        self.first = None
        self.folder = tempfile.TemporaryDirectory(prefix="updraft-vagrant.")
        try:
            script("install")
            box = os.path.join(self.folder.name, "image.box")
            script("box", image, box)
            self.open(image, box)
            self.inside("vagrant", "box", "add", "--name", "updraft-bench", f"{PROJECT}/box")
            self.version = self.inside("vagrant", "--version").strip()
        except BaseException:
            self.close()
            raise

    def open(self, image, box):
        """Starts the first process of the namespaces, and waits until libvirt answers there."""
        with open(f"{self.folder.name}/said", "w+", encoding="utf-8") as said:
            # In a session of its own: at Ctrl-C it ends when we are done with it, and not before.
            self.first = subprocess.Popen([SCRIPT, "open", image, box], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                          stderr=said, text=True, start_new_session=True)
            words = self.first.stdout.readline().split()
            if words[:1] != ["ready"]:
                self.first.wait()
                said.seek(0)
                raise Absent(complaint(said.read()))
            self.pid = words[1]

    def command(self, *words):
        """A command in the namespaces, as a list of words."""
        settings = {"HOME": "/root", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8",
                    "VAGRANT_CWD": PROJECT, "VAGRANT_CHECKPOINT_DISABLE": "1", **self.settings}
        enter = ["nsenter", "--target", self.pid, "--mount", "--net", "--pid", "--ipc", "--uts", "--root", "--wd"]
        return [*enter, "env", "-i", *(f"{key}={value}" for key, value in settings.items()), *words]

    def inside(self, *words):
        """Runs a command in the namespaces; it must succeed. Returns what it printed."""
        try:
            done = subprocess.run(self.command(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=TOO_LONG, check=False)
        except subprocess.TimeoutExpired as late:
            raise Absent(f"`{' '.join(words)}` was not over after {TOO_LONG} s") from late
        if done.returncode != 0:
            raise Absent(f"`{' '.join(words)}` ended with {done.returncode}: {complaint(done.stderr or done.stdout)}")
        return done.stdout

    def prepare(self, count):
        """Asks for so many machines, of which none is there."""
        self.settings["COUNT"] = str(count)

    def up(self):
        """Brings the machines up."""
        self.inside("vagrant", "up", "--provider=libvirt")

    def tell_ssh(self):
        """Has Vagrant say how its machines are reached; until then nobody but Vagrant knows."""
        self.inside("sh", "-c", f"vagrant ssh-config >{SSH_CONFIG}")

    def ssh(self, name):
        """Starts a command on a machine."""
        words = self.command("ssh", "-F", SSH_CONFIG, "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", name, "hostname")
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def take_away(self):
        """Destroys the machines."""
        self.inside("vagrant", "destroy", "-f")

    def close(self):
        """Ends everything: the first process of the namespaces ends with its input."""
        if self.first is not None:
            self.first.stdin.close()
            try:
                self.first.wait(60)
            except subprocess.TimeoutExpired:
                end(self.first)
        self.folder.cleanup()


class Peer:
    """Vagrant beside us, for as long as it can."""

    def __init__(self, wanted):
        self.vagrant, self.facts = None, {"absent": None if wanted else "it was left out: --no-vagrant"}

    def begin(self, image, memory, driver):
        """Has it installed and make its box from an image of ours, and bring that up once."""
        if self.facts["absent"]:
            self.say()
            return
        begin = time.perf_counter()
        try:
            self.vagrant = Vagrant(image, memory, driver)
            self.facts["version"] = self.vagrant.version
            # The first time it takes the box over into libvirt's storage, where it is kept.
            self.turn(1)
            print(f"vagrant's box: {time.perf_counter() - begin:.1f} s (kept until the end)", flush=True)
        except (Absent, clock.Silent) as why:
            self.drop_out(why)

    def turn(self, count):
        """Brings machines up from nothing and takes them away; returns what the clock showed."""
        free = memory_free()
        if free < count * GUEST_MIB:
            raise Absent(f"{count} of its guests need {count * GUEST_MIB} MiB, and {free} MiB are free")
        self.vagrant.prepare(count)
        times = clock.time_up(count, self.vagrant.up, self.vagrant.ssh, self.vagrant.tell_ssh)
        self.vagrant.take_away()
        return times

    def drop_out(self, why):
        """Goes on without it, because of this."""
        self.facts["absent"] = str(why)
        self.say()
        self.close()

    def say(self):
        """Says why it does not take part."""
        print(f"  vagrant does not take part: {self.facts['absent']}", flush=True)

    def close(self):
        """Ends everything of it."""
        if self.vagrant is not None:
            self.vagrant.close()
            self.vagrant = None
