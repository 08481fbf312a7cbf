#!/usr/bin/env python3
"""Times live starts of machines beside a cold boot of the same machine.

A site of its own, with the image of the hello example, is brought up again and again: one machine
that boots, then one, four and twenty that start live from the image's template. Then the hello
example itself, until its balancer has given the answer of each worker, booted and live. The clock
runs from the start of the command. `itself` is when `updraft up` has ended: every machine's agent
has answered under its new identity. `ssh` is when a command was answered over SSH by every machine,
with strict host keys.

Memory is what each machine adds when it is idle and has answered once, as the kernel accounts it
in `/proc/PID/smaps_rollup` and `smaps`: the guest's own part beside that of the emulator.

    bench/clone.py --updraft target/release/updraft --out bench/out/clone.json
"""

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

SITE = """\
site: bench-clone
domain: bench.test
admins: {{ ops: {{ keys: [ops.pub] }} }}
networks: {{ lan: {{ cidr: {cidr} }} }}
images:
  debian: {{ bootstrap: bookworm, packages: [haproxy, python3], live: {live} }}
groups:
  web: {{ image: debian, count: {count}, memory: 256MiB }}
"""

# What was agreed on, in seconds: the issue of live clones.
AGREED = {1: 1.5, 4: 5.0, 20: 25.0}
AGREED_MIB = 40
AGREED_HELLO = 8.0


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
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{folder}/ops"], check=True)

    def write(self, count, start):
        """Asks for so many machines, started like this."""
        with open(f"{self.folder}/updraft.yaml", "w", encoding="utf-8") as file:
            # A site that only boots its machines says nothing of templates, so that they stay.
            live = "true" if start == "live" else "false"
            file.write(SITE.format(cidr=self.cidr, count=count, live=live))

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

    def answered(self, names, until):
        """Waits until every machine has answered over SSH under its own name."""
        waiting = {name: self.ssh(name) for name in names}
        while waiting:
            for name, process in list(waiting.items()):
                said, why = process.communicate()
                if process.returncode == 0:
                    if said.strip() != name:
                        sys.exit(f"clone: {name} says that it is {said.strip()}")
                    del waiting[name]
                elif time.perf_counter() > until:
                    sys.exit(f"clone: {name} does not answer over SSH: {why.strip()}")
                else:
                    waiting[name] = self.ssh(name)

    def bring_up(self, count, start):
        """Brings machines up from nothing; returns seconds until they were themselves and until
        each had answered over SSH."""
        self.run("destroy", "--yes")
        self.write(count, start)
        begin = time.perf_counter()
        self.run("up", "--yes")
        itself = time.perf_counter() - begin
        self.answered([f"web-{number}" for number in range(1, count + 1)], begin + 600)
        return itself, time.perf_counter() - begin

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


def hello(updraft, cidr, start, folder):
    """Brings a copy of the hello example up from nothing; returns seconds until it serves."""
    site = os.path.join(folder, start)
    if not os.path.isdir(site):
        example = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../examples/hello")
        shutil.copytree(example, site, ignore=shutil.ignore_patterns(".updraft"))
        path = os.path.join(site, "updraft.yaml")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        text = re.sub(r"cidr: [0-9./]+", f"cidr: {cidr}", text)
        text = text.replace("    bootstrap: bookworm\n", f"    bootstrap: bookworm\n    live: {str(start == 'live').lower()}\n")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    try:
        begin = time.perf_counter()
        run(updraft, site, "up", "--yes")
        hosts = json.loads(run(updraft, site, "inventory", "--list"))["_meta"]["hostvars"]
        url = f"http://{hosts['balancer-1']['ansible_host']}/"
        waiting = {name for name in hosts if name.startswith("worker-")}
        while waiting:
            with urllib.request.urlopen(url, timeout=10) as answer:
                waiting.discard(answer.read().decode().split()[0])
        return time.perf_counter() - begin
    finally:
        take_away(updraft, site)


def template_size(store):
    """MiB that templates take, and MiB of memory they keep."""
    root = os.path.join(store, "templates")
    sizes = []
    for name in os.listdir(root):
        if os.path.isfile(os.path.join(root, name, "template.json")):
            parts = [os.stat(os.path.join(root, name, part)).st_blocks / 2048 for part in ("ram", "state", "disk.qcow2")]
            sizes.append([round(part, 1) for part in parts])
    return sizes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--updraft", default="target/release/updraft", help="our program")
    parser.add_argument("--rounds", type=int, default=3, help="how often one machine is timed")
    parser.add_argument("--counts", type=int, nargs="*", default=[4, 20], help="how many at once, besides one")
    parser.add_argument("--cidr", default="10.84.0.0/24", help="network of the guests")
    parser.add_argument("--out", required=True, help="JSON file to write")
    given = parser.parse_args()
    store = os.environ.get("UPDRAFT_STORE", "/var/lib/updraft")

    rows, hellos, missed = [], [], []
    with tempfile.TemporaryDirectory(prefix="updraft-clone.") as folder:
        bench = Bench(given.updraft, given.cidr, folder)
        bench.write(1, "live")
        try:
            begin = time.perf_counter()
            bench.run("up", "--yes")
            print(f"image and template: {time.perf_counter() - begin:.1f} s (images and templates are kept)", flush=True)
            for label, count, start, rounds in (
                [("one, cold", 1, "cold", given.rounds), ("one, live", 1, "live", given.rounds)]
                + [(f"{count}, live", count, "live", 1) for count in given.counts]
            ):
                times = [bench.bring_up(count, start) for _ in range(rounds)]
                row = {"what": label, "count": count, "start": start,
                       "itself": round(statistics.median(t[0] for t in times), 2),
                       "ssh": round(statistics.median(t[1] for t in times), 2),
                       "all": [[round(t, 2) for t in pair] for pair in times],
                       "load": os.getloadavg()[0]}
                if start == "live":
                    row["agreed"] = AGREED.get(count)
                    if row["agreed"] and row["ssh"] > row["agreed"]:
                        missed.append(label)
                row["memory"] = bench.memory()
                rows.append(row)
                agreed = f"  agreed {row['agreed']} s" if row.get("agreed") else ""
                memory = ", ".join(f"{key} {value}" for key, value in row["memory"].items())
                print(f"  {label:12} itself {row['itself']:7.2f} s  ssh {row['ssh']:7.2f} s{agreed}  "
                      f"load {row['load']:.1f}  MiB each: {memory}", flush=True)
        finally:
            take_away(bench.updraft, folder)
        for start in ("cold", "live"):
            # The first round makes what is kept: image and template.
            times = [hello(bench.updraft, given.cidr, start, folder) for _ in range(given.rounds + 1)][1:]
            row = {"what": f"hello, {start}", "count": 3, "start": start, "itself": round(statistics.median(times), 2),
                   "all": [round(t, 2) for t in times], "load": os.getloadavg()[0]}
            if start == "live":
                row["agreed"] = AGREED_HELLO
                if row["itself"] > AGREED_HELLO:
                    missed.append("hello, live")
            agreed = f"  agreed {row['agreed']} s" if row.get("agreed") else ""
            print(f"  {row['what']:12} serves {row['itself']:7.2f} s{agreed}  load {row['load']:.1f}", flush=True)
            hellos.append(row)
    guest = rows[-1]["memory"]["guest"] + rows[-1]["memory"]["of template"]
    if guest > AGREED_MIB:
        missed.append("memory")
    sizes = template_size(store)
    print(f"  memory added by an idle machine: {guest:.1f} MiB, agreed {AGREED_MIB}; the emulator's own "
          f"{rows[-1]['memory']['emulator']} MiB beside it")
    for ram, state, disk in sizes:
        print(f"  a template takes {ram} MiB of memory, {state} MiB of state, {disk} MiB of disk")
    result = {"title": "live starts", "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
              "machine": {"cores": os.cpu_count(), "kernel": platform.release()}, "rows": rows, "hello": hellos, "templates": sizes,
              "missed": missed}
    os.makedirs(os.path.dirname(os.path.abspath(given.out)), exist_ok=True)
    with open(given.out, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    print("  missed: " + ", ".join(missed) if missed else "  everything agreed was held")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
