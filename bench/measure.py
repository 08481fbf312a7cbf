#!/usr/bin/env python3
"""Times commands in turn on the same work and prints medians and ratios.

The contestants run one after the other in every round, so that a busy moment of the machine meets
all of them. The first one is ours; ratios say how many times its median the others need.

    bench/measure.py --title exec --rounds 5 --out bench/out/exec.json \\
        --of updraft "updraft exec all -- uptime" --of ansible "ansible all -m command -a uptime"

A contestant that fails ends the comparison. `--agreed`, `--beyond` and `--memory` state figures that
ours should keep; missing one makes the exit code 1, after everything is printed. `cpu` is what the
command and those it waited for used; memory is that of its largest process at its largest.
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time


def run_once(label, words, folder):
    """Runs one contestant and returns its wall and processor seconds, and its largest process in MB."""
    with tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        child = subprocess.Popen(words, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            said.seek(0)
            tail = said.read().decode(errors="replace")[-2000:]
            sys.exit(f"measure: {label} ended with {child.returncode}: {shlex.join(words)}\n{tail}")
    # Linux tells KiB.
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6


def measure(contestants, rounds, folder, warm, before):
    """Runs all contestants in turn, `before` ahead of each, and returns what each run took by label."""
    runs = {label: [] for label, _ in contestants}
    for number in range(-warm, rounds):
        for label, words in contestants:
            if before:
                run_once("--before", before, folder)
            run = run_once(label, words, folder)
            if number >= 0:
                runs[label].append(run)
    return runs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--title", required=True, help="what is compared")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contestant is timed")
    parser.add_argument("--warm", type=int, default=1, help="rounds before the first that counts")
    parser.add_argument("--out", required=True, help="JSON file to write")
    parser.add_argument("--folder", default=".", help="where the contestants run")
    parser.add_argument("--before", default="", help="command to run ahead of each, off the clock")
    parser.add_argument("--agreed", type=float, help="seconds that our median should not pass")
    parser.add_argument("--beyond", type=float, help="seconds that our median may pass the second one's by")
    parser.add_argument("--memory", type=float, help="megabytes that our largest process should not pass")
    parser.add_argument("--of", nargs=2, action="append", required=True, metavar=("LABEL", "COMMAND"))
    given = parser.parse_args()

    contestants = [(label, shlex.split(command)) for label, command in given.of]
    runs = measure(contestants, given.rounds, given.folder, given.warm, shlex.split(given.before))
    ours = statistics.median(wall for wall, _, _ in runs[contestants[0][0]])
    rows = []
    for label, words in contestants:
        walls, spent, memory = zip(*runs[label])
        median = statistics.median(walls)
        rows.append({
            "label": label,
            "command": shlex.join(words),
            "median": round(median, 4),
            "min": round(min(walls), 4),
            "max": round(max(walls), 4),
            "cpu": round(statistics.median(spent), 4),
            "memory": round(max(memory), 1),
            "ratio": round(median / ours, 2),
            "walls": [round(wall, 4) for wall in walls],
        })
    agreed = given.agreed
    if given.beyond is not None:
        # What the second contestant needs is the floor.
        agreed = rows[1]["median"] + given.beyond
    held = (agreed is None or ours <= agreed) and (given.memory is None or rows[0]["memory"] <= given.memory)
    result = {
        "title": given.title,
        "rounds": given.rounds,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"cores": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg()[0]},
        "agreed": {"seconds": agreed, "memory": given.memory},
        "held": held,
        "results": rows,
    }
    os.makedirs(os.path.dirname(os.path.abspath(given.out)), exist_ok=True)
    with open(given.out, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")

    print(f"{given.title}: {given.rounds} rounds, load {os.getloadavg()[0]:.1f}")
    print(f"  {'':18} {'median':>9} {'min':>9} {'max':>9} {'cpu':>9} {'ratio':>7} {'memory':>10}")
    for row in rows:
        times = " ".join(f"{row[key]:7.3f} s" for key in ("median", "min", "max", "cpu"))
        print(f"  {row['label']:18} {times} {row['ratio']:7.2f} {row['memory']:7.1f} MB")
    bounds = [f"{agreed:.3g} s"] if agreed is not None else []
    bounds += [f"{given.memory:g} MB"] if given.memory is not None else []
    if bounds:
        print(f"  agreed: at most {' and '.join(bounds)}; {'held' if held else 'missed'}")
    sys.stdout.flush()
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
