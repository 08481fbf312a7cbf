"""The clock of machines that are brought up: the same for everybody who is compared."""

import time


class Silent(Exception):
    """A machine does not answer, or not under its own name."""


def answered(names, ssh, until):
    """Waits until every machine has answered over SSH under its own name."""
    waiting = {name: ssh(name) for name in names}
    while waiting:
        for name, process in list(waiting.items()):
            said, why = process.communicate()
            if process.returncode == 0:
                if said.strip() != name:
                    raise Silent(f"{name} says that it is {said.strip()}")
                del waiting[name]
            elif time.perf_counter() > until:
                raise Silent(f"{name} does not answer over SSH: {why.strip()}")
            else:
                waiting[name] = ssh(name)


def time_up(count, up, ssh, tell_ssh=lambda: None):
    """Seconds that `up` took, and until each of so many machines had answered over SSH.

    `ssh` starts `hostname` on the machine of a name; `tell_ssh` is what has to be done before that.
    """
    begin = time.perf_counter()
    up()
    itself = time.perf_counter() - begin
    tell_ssh()
    answered([f"web-{number}" for number in range(1, count + 1)], ssh, begin + 600)
    return itself, time.perf_counter() - begin
