#!/usr/bin/env python3
"""Plays on two whole machines: ansible-core configures one, we the other, and both are the same after.

Each machine is a root of its own as in bench/module-tests.py: this machine's file tree under an
overlay in memory, with a systemd of its own and no network but loopback. Packages come from a
folder of small ones. Every playbook runs twice. What is compared after each run: status of every
task, recap, exit code, files with mode and owner, accounts, packages, units; and that the second run
changes nothing. Needs root and what scripts/peers.sh brings.

  lab/twins.py                # all playbooks
  lab/twins.py cluster homes  # only these
"""

import concurrent.futures
import hashlib
import importlib.util
import json
import os
import pathlib
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
HERE = ROOT / "lab/twins"
HELLO = ROOT / "examples/hello/plays"
PYTHON = "/usr/bin/python3"
PACKAGES = "acl cron debconf-utils gnupg python3-apt python3-debian sudo".split()
# The whole of what one machine runs.
LIMIT = 600

spec = importlib.util.spec_from_file_location("roots", ROOT / "bench/module-tests.py")
roots = importlib.util.module_from_spec(spec)
spec.loader.exec_module(roots)

# Name: arguments of ansible-playbook, the exit code, and whether a second run changes nothing.
STORIES = {
    "hypervisor": (["hypervisor.yml"], 0, True),
    "worker": ([HELLO / "worker.yaml"], 0, True),
    "balancer": ([HELLO / "balancer.yaml"], 0, True),
    "hello": ([HELLO / "hello.yaml", "-e", "updraft_version=v1"], 0, True),
    "autoscaler": (["autoscaler.yml"], 0, True),
    "cluster": (["cluster.yml"], 0, True),
    "units": (["units.yml"], 0, False),
    "debian": (["debian.yml", "--diff"], 0, False),
    # Two hosts of one machine that want opposite things.
    "homes": (["homes.yml"], 0, False),
    "reached": (["reached.yml", "-i", "nowhere", "--vault-password-file", "vars/password"], 4, False),
    "broken": (["broken.yml"], 4, True),
}

# Small packages: name, and whether it brings a service.
SMALL = {"fakevirtd": True, "haproxy": True, "fakebridge": False, "fakecurl": False}
UNITS = ["fakevirtd", "haproxy", "hello", "load-a", "load-b", "agent-first", "agent-second", "cron"]

HOME = os.path.expanduser("~root")
WATCHED = ["/etc", "/opt", "/srv", "/vms", "/home", "/usr/local/bin", "/var/spool/cron", HOME]
# Drawn by chance, kept by others, or of the tools themselves.
PASSED_OVER = re.compile(
    r"/\.ansible(_async)?\b|/etc/(\.pwd\.lock|.*-|ld\.so\.cache|mtab|machine-id)$|/srv/(apt|release)|\.pyc$"
    r"|/__pycache__|" + HOME + r"/\.(cache|cargo|config|debug|local|npm|pyenv|rustup|ssh)\b")


def package(folder, name, service):
    """A package of almost nothing, and its entry in the list."""
    tree = folder / name
    (tree / "DEBIAN").mkdir(parents=True)
    control = (f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: Lab <lab@hello.test>\n"
               f"Description: {name} of the lab\n")
    (tree / "DEBIAN/control").write_text(control)
    (tree / f"usr/share/{name}").mkdir(parents=True)
    (tree / f"usr/share/{name}/about").write_text(name)
    if service:
        unit = tree / f"lib/systemd/system/{name}.service"
        unit.parent.mkdir(parents=True)
        unit.write_text("[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n")
    file = folder / f"{name}_1.0_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, file], check=True,
                   stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return f"{control}Filename: ./{file.name}\nSize: {file.stat().st_size}\nSHA256: {digest}\n"


def prepare():
    """What the playbooks find on a machine."""
    folder = pathlib.Path("/srv/apt")
    folder.mkdir(parents=True)
    entries = [package(folder, name, service) for name, service in SMALL.items()]
    (folder / "Packages").write_text("\n".join(entries))
    sources = pathlib.Path("/etc/apt")
    shutil.rmtree(sources / "sources.list.d", ignore_errors=True)
    (sources / "sources.list.d").mkdir()
    (sources / "sources.list").write_text("deb [trusted=yes] file:/srv/apt ./\n")
    subprocess.run(["apt-get", "-qq", "update"], check=True)
    release = pathlib.Path("/srv/release")
    release.mkdir()
    (release / "run").write_text('#!/bin/sh\necho "$1 ok"; touch "$1.done"\n')
    (release / "run").chmod(0o755)
    subprocess.run(["tar", "-C", "/srv", "--mtime=@0", "-czf", "/srv/release.tar.gz", "release"],
                   check=True)
    for place in ["netplan", "iptables", "default", "ssh"]:
        pathlib.Path("/etc", place).mkdir(exist_ok=True)
    pathlib.Path("/etc/default/grub").write_text('GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n')
    pathlib.Path("/etc/ssh/sshd_config").write_text("Port 22\n#PasswordAuthentication yes\n")


def shadow(text):
    """Without what is drawn by chance and the day."""
    rows = [line.split(":") for line in text.splitlines()]
    return [":".join([name, "set" if len(secret) > 2 else secret, *rest[1:]])
            for name, secret, *rest in rows]


def content(path):
    if path.stat().st_size > 100_000:
        return path.stat().st_size
    text = path.read_bytes()
    if path.name == "shadow":
        return shadow(text.decode())
    if path.parent.name == "crontabs":
        return [line for line in text.decode().splitlines() if " installed on " not in line]
    return text.decode(errors="replace")


def files():
    """Every watched file: mode, owner, group, and what is in it."""
    found = {}
    for top in WATCHED:
        for place, folders, names in os.walk(top):
            folders[:] = [name for name in folders if not PASSED_OVER.search(f"{place}/{name}")]
            for name in folders + names:
                path = pathlib.Path(place, name)
                if PASSED_OVER.search(str(path)):
                    continue
                about = path.lstat()
                inside = None
                if stat.S_ISLNK(about.st_mode):
                    inside = os.readlink(path)
                elif stat.S_ISREG(about.st_mode):
                    inside = content(path)
                found[str(path)] = [oct(about.st_mode), about.st_uid, about.st_gid, inside]
    return found


def lines(*words):
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          check=False).stdout.splitlines()


def state():
    units = {unit: lines("systemctl", "is-active", unit) + lines("systemctl", "is-enabled", unit)
             for unit in UNITS}
    packages = lines("dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Status}\n")
    return {"files": files(), "units": units, "packages": packages}


def story(text):
    """Statuses, recap and what is shown, without texts of errors and times."""
    kept, fault = [], False
    for line in text.splitlines():
        status = re.match(r"(ok|changed|skipping|fatal|failed|included):|\.\.\.ignoring|PLAY |TASK |RUNNING ", line)
        if line.startswith(("[ERROR]", "[WARNING]", "[DEPRECATION WARNING]")):
            fault = True
        elif status:
            fault = False
        # How often a job is asked for is a matter of time.
        if not fault and line.strip() and not line.startswith("FAILED - RETRYING"):
            # Identities of jobs are drawn by chance.
            line = re.sub(r"\bj?\d+\.\d+\b", "N", line)
            kept.append(re.split(r"(?:!| =>) \{", line)[0] if status else line)
    return kept


def inside(program, out, names):
    """Runs everything on this machine with one of the two programs."""
    prepare()
    folder = pathlib.Path("/tmp/shims")
    folder.mkdir()
    for name in ["ansible-playbook"]:
        (folder / name).symlink_to(program)
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": HOME, "LC_ALL": "C.UTF-8",
           "UPDRAFT_STORE": "/tmp/store", "ANSIBLE_PIPELINING": "1", "ANSIBLE_NOCOLOR": "1",
           "ANSIBLE_HOST_KEY_CHECKING": "False", "ANSIBLE_LOCALHOST_WARNING": "False"}
    said = {}
    for name in names:
        arguments, *_ = STORIES[name]
        words = [folder / "ansible-playbook", "-f", "1", "-i", "hosts", *arguments]
        said[name] = []
        for _ in range(2):
            start = time.monotonic()
            ran = subprocess.run(words, cwd=HERE, env=env, text=True, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
            took = time.monotonic() - start
            said[name].append({"code": ran.returncode, "story": story(ran.stdout), "state": state(),
                               "seconds": took, "out": ran.stdout + ran.stderr})
    pathlib.Path(out).write_text(json.dumps(said))


def machine(who, program, names):
    """One machine, from nothing to the end of its playbooks."""
    again = [sys.executable, __file__, "inside", program, "/mnt/out/result.json", *names]
    needed = [ROOT, pathlib.Path(program).resolve().parent, (ROOT / "target/peers").resolve()]
    log, result = roots.enter(layer(), f"exec {shlex.join(again)}\n", needed, LIMIT)
    if result is None:
        sys.exit(f"twins: the machine of {who} did not come to its end:\n{log}")
    return json.loads(result)


def layer():
    return roots.layer(PACKAGES, [])


def differences(theirs, ours):
    """What is not the same after one run, the first few of each kind."""
    if theirs["code"] != ours["code"]:
        yield f"exit code {ours['code']}, ansible-core {theirs['code']}"
    for at, (one, other) in enumerate(zip([*theirs["story"], None], [*ours["story"], None])):
        if one != other:
            yield f"line {at}: {other!r}, ansible-core {one!r}"
            break
    for kind in ["files", "units"]:
        one, other = theirs["state"][kind], ours["state"][kind]
        unlike = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
        for name in unlike[:5]:
            yield f"{kind}: {name} is {other.get(name)}, ansible-core {one.get(name)}"
    unlike = sorted({*theirs["state"]["packages"]} ^ {*ours["state"]["packages"]})
    if unlike:
        yield f"packages: {unlike}"


def main():
    if sys.argv[1:2] == ["inside"]:
        _, _, program, out, *names = sys.argv
        return inside(program, out, names)
    names = sys.argv[1:] or list(STORIES)
    program = os.environ.get("UPDRAFT", str(ROOT / "target/release/updraft"))
    theirs = str(ROOT / "target/peers/bin/ansible-playbook")
    layer()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(machine, *who, names) for who in [("ansible", theirs), ("updraft", program)]]
        theirs, ours = [job.result() for job in jobs]
    wrong = 0
    for name in names:
        found = []
        for at, (one, other) in enumerate(zip(theirs[name], ours[name])):
            found += [f"run {at + 1}: {what}" for what in differences(one, other)]
        _, code, settled = STORIES[name]
        found += [f"exit code {run['code']}, not {code}" for run in theirs[name] if run["code"] != code]
        second = " ".join(ours[name][1]["story"])
        if settled and re.search(r"changed=[1-9]", second):
            found.append("the second run changes something")
        took = [f"{sum(run['seconds'] for run in who[name]):.1f} s" for who in (theirs, ours)]
        print(f"{name:12} {'differs' if found else 'the same'}; ansible-core {took[0]}, updraft {took[1]}")
        for what in found:
            print(f"  {what[:1500]}")
        wrong += bool(found)
    if "TWINS_OUT" in os.environ:
        for who, all_of in [("ansible", theirs), ("updraft", ours)]:
            text = "".join(run["out"] for name in names for run in all_of[name])
            pathlib.Path(os.environ["TWINS_OUT"], who).write_text(text)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
