#!/usr/bin/env python3
"""Times commands in turn on the same work and prints medians and ratios.

The contestants run one after the other in every round, so that a busy moment of the machine meets
all of them. The first one is ours; ratios say how many times its median the others need.

    bench/measure.py --title exec --rounds 5 --out bench/out/exec.json \\
        --of updraft "updraft exec all -- uptime" --of ansible "ansible all -m command -a uptime"

A contestant that fails ends the comparison. `--agreed SECONDS` states the figure that ours should
keep; missing it makes the exit code 1, after everything is printed.
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time


def run_once(label, words, folder):
    """Runs one contestant and returns its wall and processor seconds."""
    before = os.times()
    start = time.perf_counter()
    done = subprocess.run(words, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    wall = time.perf_counter() - start
    after = os.times()
    if done.returncode != 0:
        tail = (done.stdout + done.stderr).decode(errors="replace")[-2000:]
        sys.exit(f"measure: {label} ended with {done.returncode}: {shlex.join(words)}\n{tail}")
    spent = (after.children_user - before.children_user) + (after.children_system - before.children_system)
    return wall, spent


def measure(contestants, rounds, folder, warm):
    """Runs all contestants in turn and returns their times by label."""
    walls = {label: [] for label, _ in contestants}
    spent = {label: [] for label, _ in contestants}
    for number in range(-warm, rounds):
        for label, words in contestants:
            wall, cpu = run_once(label, words, folder)
            if number >= 0:
                walls[label].append(wall)
                spent[label].append(cpu)
    return walls, spent


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--title", required=True, help="what is compared")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contestant is timed")
    parser.add_argument("--warm", type=int, default=1, help="rounds before the first that counts")
    parser.add_argument("--out", required=True, help="JSON file to write")
    parser.add_argument("--folder", default=".", help="where the contestants run")
    parser.add_argument("--agreed", type=float, help="seconds that our median should not pass")
    parser.add_argument("--of", nargs=2, action="append", required=True, metavar=("LABEL", "COMMAND"))
    given = parser.parse_args()

    contestants = [(label, shlex.split(command)) for label, command in given.of]
    walls, spent = measure(contestants, given.rounds, given.folder, given.warm)
    ours = statistics.median(walls[contestants[0][0]])
    rows = []
    for label, words in contestants:
        median = statistics.median(walls[label])
        rows.append({
            "label": label,
            "command": shlex.join(words),
            "median": round(median, 4),
            "min": round(min(walls[label]), 4),
            "max": round(max(walls[label]), 4),
            "cpu": round(statistics.median(spent[label]), 4),
            "ratio": round(median / ours, 2),
            "walls": [round(wall, 4) for wall in walls[label]],
        })
    held = given.agreed is None or ours <= given.agreed
    result = {
        "title": given.title,
        "rounds": given.rounds,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"cores": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg()[0]},
        "agreed": given.agreed,
        "held": held,
        "results": rows,
    }
    os.makedirs(os.path.dirname(os.path.abspath(given.out)), exist_ok=True)
    with open(given.out, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")

    print(f"{given.title}: {given.rounds} rounds, load {os.getloadavg()[0]:.1f}")
    print(f"  {'':18} {'median':>9} {'min':>9} {'max':>9} {'cpu':>9} {'ratio':>7}")
    for row in rows:
        times = " ".join(f"{row[key]:7.3f} s" for key in ("median", "min", "max", "cpu"))
        print(f"  {row['label']:18} {times} {row['ratio']:7.2f}")
    if given.agreed is not None:
        print(f"  agreed: at most {given.agreed} s; {'held' if held else 'missed'}")
    sys.stdout.flush()
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
