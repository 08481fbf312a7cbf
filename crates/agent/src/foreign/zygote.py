# Runs Ansible's Python modules, each in a fork of this process.
#
# Descriptor 0 is a socket. A job is 4 bytes of length, big endian, with two descriptors beside
# them, its standard output and error, and then so many bytes of JSON. Told back, a line each:
# `ready`, `done ID STATUS` with STATUS as waitpid has it. `{"kill": ID}` ends a job.
import array
import json
import os
import select
import signal
import socket
import struct
import sys


def whole(line, count):
    parts = []
    while count:
        part = line.recv(count)
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def receive(line):
    descriptors = array.array("i")
    size = socket.CMSG_LEN(2 * descriptors.itemsize)
    head, ancillary, _, _ = line.recvmsg(4, size)
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    if head and len(head) < 4:
        rest = whole(line, 4 - len(head))
        head = head + rest if rest else b""
    if not head:
        return None, []
    body = whole(line, struct.unpack(">I", head)[0])
    if body is None:
        return None, []
    return json.loads(body.decode()), list(descriptors)


def overlay(payload):
    """Lets the payload's part of `ansible` be seen beside, and before, the library's."""
    import ansible
    import ansible.modules
    import ansible.module_utils
    import zipfile

    with zipfile.ZipFile(payload) as archive:
        names = [name for name in archive.namelist() if name.startswith("ansible/")]
    packages = sorted({name.rsplit("/", 1)[0] for name in names})
    hidden = False
    for name in names:
        dotted = name[:-3].replace("/", ".")
        if not dotted.endswith(".__init__") and dotted in sys.modules:
            hidden = True
    if hidden:
        # One of them stands in for something that was imported already, and so may be others'.
        for name in [name for name in sys.modules if name.startswith("ansible.module_utils.")]:
            del sys.modules[name]
    for package in packages:
        module = sys.modules.get(package.replace("/", "."))
        if module is not None and hasattr(module, "__path__"):
            module.__path__ = [payload + "/" + package] + list(module.__path__)


def respawning(library):
    """A module that goes on under another interpreter finds the library there, too."""
    try:
        from ansible.module_utils.common import respawn
    except ImportError:
        return
    original = respawn.respawn_module

    def respawn_module(interpreter_path):
        known = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = library + (":" + known if known else "")
        original(interpreter_path)

    respawn.respawn_module = respawn_module


def module(job):
    sys.path.insert(0, job["payload"])
    overlay(job["payload"])
    respawning(LIBRARY)  # noqa: F821
    params = json.dumps({"ANSIBLE_MODULE_ARGS": job["args"]}).encode()
    try:
        from ansible.module_utils._internal._ansiballz import _loader
    except ImportError:
        import runpy
        from ansible.module_utils import basic

        basic._ANSIBLE_ARGS = params
        runpy.run_module(
            job["name"],
            init_globals={"_module_fqn": job["name"], "_modlib_path": job["payload"]},
            run_name="__main__",
            alter_sys=True,
        )
    else:
        _loader.run_module(
            json_params=params,
            profile="legacy",
            module_fqn=job["name"],
            modlib_path=job["payload"],
            extensions={},
        )


def child(job, line, descriptors):
    code = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        line.close()
        null = os.open(os.devnull, os.O_RDONLY)
        for here, there in ((null, 0), (descriptors[0], 1), (descriptors[1], 2)):
            os.dup2(here, there)
        for descriptor in [null] + descriptors:
            if descriptor > 2:
                os.close(descriptor)
        os.environ.update(job["env"])
        if "TZ" in job["env"]:
            import time

            time.tzset()
        if "random" in sys.modules:
            sys.modules["random"].seed()
        try:
            module(job)
            code = 0
        except SystemExit as end:
            if isinstance(end.code, int):
                code = end.code & 0xFF
            elif end.code is None:
                code = 0
            else:
                sys.stderr.write("%s\n" % end.code)
        except BaseException:
            import traceback

            traceback.print_exc()
        import atexit
        import threading

        try:
            threading._shutdown()
            atexit._run_exitfuncs()
        except BaseException:
            import traceback

            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def serve(line, library):
    sys.path.insert(0, library)
    from ansible.module_utils import basic  # noqa: F401

    try:
        from ansible.module_utils._internal._ansiballz import _loader  # noqa: F401
    except ImportError:
        pass
    # Standard output and error are pipes to nowhere here; each job brings its own.
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    # A terminal's interrupt is for whoever started us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    jobs = {}
    line.sendall(b"ready\n")
    while True:
        ready, _, _ = select.select([line, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            for number, pid in list(jobs.items()):
                found, status = os.waitpid(pid, os.WNOHANG)
                if found:
                    del jobs[number]
                    line.sendall(("done %d %d\n" % (number, status)).encode())
        if line in ready:
            job, descriptors = receive(line)
            if job is None:
                return
            if "kill" in job:
                if job["kill"] in jobs:
                    try:
                        os.killpg(jobs[job["kill"]], job["signal"])
                    except OSError:
                        pass
                continue
            pid = os.fork()
            if pid == 0:
                os.close(woken)
                child(job, line, descriptors)
            jobs[job["id"]] = pid
            for descriptor in descriptors:
                os.close(descriptor)


serve(LINE, LIBRARY)  # noqa: F821
