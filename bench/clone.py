#!/usr/bin/env python3
"""Times live starts of machines beside a cold boot of the same machine.

A site of its own, with the image of the hello example, is brought up again and again: one machine
that boots, then one, four and twenty that start live from the image's template. Then the hello
example itself, until its balancer has given the answer of each worker, booted and live. The clock
runs from the start of the command. `itself` is when `updraft up` has ended: every machine's agent
has answered under its new identity. `ssh` is when a command was answered over SSH by every machine,
with strict host keys.

Vagrant takes turns with us on one machine and on four: with its libvirt provider, from the same
image, with the same memory, over the same clock. Its `itself` is when `vagrant up` has ended, its
`ssh` includes asking it how its machines are reached. Where it cannot take part, that is said.

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
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import clock
import vagrant
from ours import MEMORY_MIB, Bench, run, take_away

# What was agreed on, in seconds.
AGREED = {1: 1.5, 4: 5.0, 20: 25.0}
AGREED_MIB = 40
AGREED_HELLO = 8.0

# One guest and four are compared; more would only take longer.
MOST_OF_VAGRANT = 4


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


def compete(bench, peer, count, starts, rounds):
    """Lets everybody who takes part bring up so many machines in turn; returns a row for each."""
    times = {start: [] for start in starts}
    if count <= MOST_OF_VAGRANT:
        times["vagrant"] = []
    for _ in range(rounds):
        for start in starts:
            times[start].append(bench.turn(count, start))
        if peer.vagrant and "vagrant" in times:
            try:
                times["vagrant"].append(peer.turn(count))
            except (vagrant.Absent, clock.Silent) as why:
                peer.drop_out(why)
    names = {1: "one", 4: "four", 20: "twenty"}
    rows = []
    for start in (start for start in times if times[start]):
        row = {"what": f"{names.get(count, count)}, {start}", "count": count, "start": start,
               "itself": round(statistics.median(t[0] for t in times[start]), 2),
               "ssh": round(statistics.median(t[1] for t in times[start]), 2),
               "all": [[round(t, 2) for t in pair] for pair in times[start]],
               "load": os.getloadavg()[0]}
        if start == "vagrant":
            row["ratios"] = {other["start"]: round(row["ssh"] / other["ssh"], 1) for other in rows}
        else:
            row["memory"] = bench.memory_each[start]
        if start == "live":
            row["agreed"] = AGREED.get(count)
        rows.append(row)
    return rows


def show(row):
    """Prints a row."""
    more = f"  agreed {row['agreed']} s" if row.get("agreed") else ""
    more += f"  load {row['load']:.1f}"
    if "memory" in row:
        more += "  MiB each: " + ", ".join(f"{key} {value}" for key, value in row["memory"].items())
    for start, ratio in row.get("ratios", {}).items():
        more += f"  {ratio} times {start}"
    print(f"  {row['what']:13} itself {row['itself']:7.2f} s  ssh {row['ssh']:7.2f} s{more}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--updraft", default="target/release/updraft", help="our program")
    parser.add_argument("--rounds", type=int, default=3, help="how often one machine is timed")
    parser.add_argument("--counts", type=int, nargs="*", default=[4, 20], help="how many at once, besides one")
    parser.add_argument("--cidr", default="10.84.0.0/24", help="network of the guests")
    parser.add_argument("--no-vagrant", action="store_true", help="leave Vagrant out")
    parser.add_argument("--out", required=True, help="JSON file to write")
    given = parser.parse_args()
    store = os.environ.get("UPDRAFT_STORE", "/var/lib/updraft")
    # Whoever ends this has everything taken away that it began.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit("clone: ended by a signal"))

    rows, hellos, missed = [], [], []
    peer = vagrant.Peer(not given.no_vagrant)
    with tempfile.TemporaryDirectory(prefix="updraft-clone.") as folder:
        bench = Bench(given.updraft, given.cidr, folder)
        bench.write(1, "live")
        try:
            begin = time.perf_counter()
            bench.run("up", "--yes")
            print(f"image and template: {time.perf_counter() - begin:.1f} s (images and templates are kept)", flush=True)
            image, driver = json.loads(bench.run("image", "show", "debian", "--json"))["path"], bench.driver()
            bench.run("destroy", "--yes")
            peer.begin(image, MEMORY_MIB, driver)
            for count, starts, rounds in [(1, ["cold", "live"], given.rounds)] + [(count, ["live"], 1) for count in given.counts]:
                for row in compete(bench, peer, count, starts, rounds):
                    if row.get("agreed") and row["ssh"] > row["agreed"]:
                        missed.append(row["what"])
                    rows.append(row)
                    show(row)
        except clock.Silent as why:
            sys.exit(f"clone: {why}")
        finally:
            peer.close()
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
    idle = next(row["memory"] for row in reversed(rows) if row["start"] == "live")
    guest = idle["guest"] + idle["of template"]
    if guest > AGREED_MIB:
        missed.append("memory")
    sizes = template_size(store)
    print(f"  memory added by an idle machine: {guest:.1f} MiB, agreed {AGREED_MIB}; the emulator's own "
          f"{idle['emulator']} MiB beside it")
    for ram, state, disk in sizes:
        print(f"  a template takes {ram} MiB of memory, {state} MiB of state, {disk} MiB of disk")
    result = {"title": "live starts", "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
              "machine": {"cores": os.cpu_count(), "kernel": platform.release()}, "rows": rows,
              "vagrant": peer.facts, "hello": hellos, "templates": sizes, "missed": missed}
    os.makedirs(os.path.dirname(os.path.abspath(given.out)), exist_ok=True)
    with open(given.out, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    print("  missed: " + ", ".join(missed) if missed else "  everything agreed was held")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
