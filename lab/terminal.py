#!/usr/bin/env python3
"""Runs a program on a terminal of its own and types for it, as a person would.

    lab/terminal.py [--when TEXT KEYS]... [--within SECONDS] -- PROGRAM ARGUMENT...

Each TEXT is waited for in what the terminal shows since the keys before; then KEYS are typed
(`\\x03` is Ctrl-C, `\\x1d` is Ctrl-], `\\r` is Enter). Everything shown goes to standard output. The
exit status is the program's; 124 when a TEXT did not come or the program did not end in time.
"""

import argparse
import os
import pty
import select
import signal
import sys
import termios
import time

asked = argparse.ArgumentParser()
asked.add_argument("--when", nargs=2, action="append", default=[], metavar=("TEXT", "KEYS"))
asked.add_argument("--within", type=float, default=120)
asked.add_argument("program", nargs="+")
asked = asked.parse_args()

pid, terminal = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    os.execvp(asked.program[0], asked.program)
termios.tcsetwinsize(terminal, (40, 120))

waiting = [(text.encode(), keys.encode().decode("unicode_escape").encode()) for text, keys in asked.when]
deadline = time.monotonic() + asked.within
shown = b""
while True:
    left = deadline - time.monotonic()
    ready = select.select([terminal], [], [], max(left, 0))[0]
    if not ready:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        print(f"\nterminal: gave up after {asked.within} s; waiting for {waiting[:1]}", file=sys.stderr)
        sys.exit(124)
    try:
        piece = os.read(terminal, 65536)
    except OSError:
        # How Linux says that the last user of the terminal has gone.
        piece = b""
    if not piece:
        break
    sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
    shown += piece
    while waiting and waiting[0][0] in shown:
        text, keys = waiting.pop(0)
        shown = shown[shown.index(text) + len(text) :]
        os.write(terminal, keys)
_, status = os.waitpid(pid, 0)
if waiting:
    print(f"\nterminal: {waiting[0][0]!r} was never shown", file=sys.stderr)
    sys.exit(124)
sys.exit(os.waitstatus_to_exitcode(status) % 256)
