"""Answers for ansible-core: one JSON request a line in, one JSON answer a line out.

Ansible is imported once and each module runs in a fork, so a case takes milliseconds.
"""
import json
import os
import runpy
import sys

from ansible.module_utils import basic
import ansible.modules  # noqa: F401
import importlib


def run(request):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(write, 1)
        basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": request["args"]}).encode()
        basic._ANSIBLE_PROFILE = "legacy"
        try:
            runpy.run_module("ansible.modules." + request["module"], run_name="__main__", alter_sys=True)
        except SystemExit:
            pass
        except BaseException as error:
            print(json.dumps({"failed": True, "msg": str(error)}))
        sys.stdout.flush()
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        out = pipe.read().decode("utf-8", "replace")
    os.waitpid(child, 0)
    lines = [line for line in out.splitlines() if line.startswith("{")]
    return json.loads(lines[-1]) if lines else {"failed": True, "msg": "no answer: " + out}


class Stop(Exception):
    pass


def spec(request):
    """The arguments a module declares."""
    seen = {}

    def init(self, argument_spec, **options):
        args = dict(argument_spec)
        if options.get("add_file_common_args"):
            for key, value in basic.FILE_COMMON_ARGUMENTS.items():
                args.setdefault(key, value)
        seen["args"] = args
        seen["checks"] = bool(options.get("supports_check_mode"))
        raise Stop

    real, basic.AnsibleModule.__init__ = basic.AnsibleModule.__init__, init
    try:
        importlib.import_module("ansible.modules." + request["module"]).main()
    except Stop:
        pass
    finally:
        basic.AnsibleModule.__init__ = real
    return seen


def main():
    for line in sys.stdin:
        request = json.loads(line)
        answer = spec(request) if request.get("spec") else run(request)
        print(json.dumps(answer, default=str), flush=True)


main()
