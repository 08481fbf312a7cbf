"""A site of ours whose machines are brought up and taken away again, by the clock."""

import os
import re
import statistics
import subprocess
import sys

import clock

SITE = """\
site: bench-clone
domain: bench.test
admins: {{ ops: {{ keys: [ops.pub] }} }}
networks: {{ lan: {{ cidr: {cidr} }} }}
images:
  debian: {{ bootstrap: bookworm, packages: [haproxy, python3], live: {live} }}
groups:
  web: {{ image: debian, count: {count}, memory: {memory}MiB }}
"""
MEMORY_MIB = 256


def run(updraft, folder, *words):
    """Runs our program on the site in a folder; it must succeed. Returns what it printed."""
    command = [updraft, "-C", folder, *words]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"clone: {' '.join(command)} ended with {done.returncode}\n{done.stderr[-3000:]}")
    return done.stdout


def take_away(updraft, folder):
    """Destroys what is left of the site in a folder, whatever state it is in."""
    command = [updraft, "-C", folder, "destroy", "--yes"]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)


class Bench:
    """A site in a folder of its own, taken away at the end."""

    def __init__(self, updraft, cidr, folder):
        self.updraft, self.cidr, self.folder = os.path.abspath(updraft), cidr, folder
        self.memory_each = {}
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{folder}/ops"], check=True)

    def write(self, count, start):
        """Asks for so many machines, started like this."""
        with open(f"{self.folder}/updraft.yaml", "w", encoding="utf-8") as file:
            # A site that only boots its machines says nothing of templates, so that they stay.
            live = "true" if start == "live" else "false"
            file.write(SITE.format(cidr=self.cidr, count=count, live=live, memory=MEMORY_MIB))

    def run(self, *words):
        """Runs our program on the site; it must succeed."""
        return run(self.updraft, self.folder, *words)

    def ssh(self, name):
        """Starts a command on a machine, trusting nothing but the host key that we know."""
        config = f"{self.folder}/.updraft/ssh_config"
        words = ["ssh", "-F", config, "-i", f"{self.folder}/ops", "-o", "BatchMode=yes"]
        words += ["-o", "ConnectTimeout=5", name, "hostname"]
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def turn(self, count, start):
        """Brings machines up from nothing and takes them away; returns what the clock showed."""
        self.write(count, start)
        times = clock.time_up(count, lambda: self.run("up", "--yes"), self.ssh)
        self.memory_each[start] = self.memory()
        self.run("destroy", "--yes")
        return times

    def driver(self):
        """What libvirt calls the way in which this site's guests are run now."""
        with open(f"/proc/{self.emulators()[0]}/cmdline", "rb") as file:
            return "kvm" if b"\0-accel\0kvm\0" in file.read() else "qemu"

    def emulators(self):
        """Process ids of this site's guests."""
        found = []
        for entry in os.listdir("/proc"):
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    words = file.read()
            except OSError:
                continue
            if b"qemu-system" in words.split(b"\0")[0] and self.folder.encode() in words:
                found.append(int(entry))
        return found

    def memory(self):
        """MiB of one machine: the guest's own pages, its share of the template's, the emulator."""
        own, shared, emulator, whole = [], [], [], []
        for pid in self.emulators():
            parts, name = {}, ""
            with open(f"/proc/{pid}/smaps", encoding="utf-8") as file:
                for line in file:
                    if head := re.match(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+\s*(.*)", line):
                        name = head.group(1).strip()
                    elif field := re.match(r"(Pss|Anonymous):\s+(\d+) kB", line):
                        key = (name.endswith("/ram"), field.group(1))
                        parts[key] = parts.get(key, 0) + int(field.group(2)) / 1024
            with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
                whole.append(int(re.search(r"^Pss:\s+(\d+)", file.read(), re.M).group(1)) / 1024)
            own.append(parts.get((True, "Anonymous"), 0))
            shared.append(parts.get((True, "Pss"), 0) - parts.get((True, "Anonymous"), 0))
            emulator.append(parts.get((False, "Pss"), 0))
        median = lambda values: round(statistics.median(values), 1)
        return {"guest": median(own), "of template": median(shared), "emulator": median(emulator), "pss": median(whole)}
