#!/usr/bin/env python3
"""Ansible's own integration tests, run by us and by ansible-core on this machine.

The targets come from the source distribution of ansible-core, downloaded from PyPI into
target/peers and never copied into this repository. A target passes when all of it exits with 0.
Those listed below need no plugin of their own on the controller, no test server and no machine
that they may break: the engine, lookups, filters, tests, inventories and strategies. Left out are
`args`, which looks at the arguments of its own script, and `strategy_host_pinned`, which passes when
nothing runs.

  bench/ansible-tests.py                          # both, all targets
  bench/ansible-tests.py --who updraft loops tags # only us, only these
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = ROOT / "target/peers"
# What runs modules on the host.
PYTHON = os.environ.get("TESTS_PYTHON", str(PEERS / "bin/python"))
PYTHON_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
# All four, so that Ansible's own never answer in our stead.
SHIMS = ["ansible", "ansible-playbook", "ansible-inventory", "ansible-vault"]
# The whole of a target; the longest of the reference takes two minutes on two slow cores.
LIMIT = 400

ENGINE = """
    adhoc ansible_log any_errors_fatal blocks changed_when check_mode dataloader debug
    failed_when handler_race handlers hash hosts_field ignore_errors import-role-tasks import_tasks
    include_import_tasks_nested include_vars-ad-hoc include_when_parent_is_dynamic
    include_when_parent_is_static include_with_templating includes includes_race
    inventory-invalid-group jinja2_native_types json-serialization json_cleanup limit_inventory
    loop-until loop_control loops meta_tasks missing-interpreter order parsing path_lookups
    path_with_comma_in_inventory play_iterator playbook plugin_filtering register roles
    roles_var_inheritance set_fact set_stats special_vars_hosts tags task-timeout task_ordering
    template_jinja2_non_native templating_lookups templating_settings undefined unicode unvault
    var_blending var_inheritance var_reserved var_templating vars_files yaml_parsing
    include_import special_vars roles_arg_spec delegate_to environment conditionals var_precedence
    no_log throttle ansible-vault
""".split()
PLUGINS = """
    filter_core filter_mathstuff filter_urls filter_urlsplit inventory inventory_advanced_host_list
    inventory_constructed inventory_generator inventory_ini inventory_script inventory_toml
    inventory_yaml lookup_csvfile lookup_dict lookup_env lookup_file lookup_fileglob
    lookup_first_found lookup_indexed_items lookup_ini lookup_inventory_hostnames lookup_items
    lookup_lines lookup_list lookup_nested lookup_password lookup_pipe lookup_random_choice
    lookup_sequence lookup_subelements lookup_template lookup_together lookup_unvault
    lookup_varnames lookup_vars strategy_free strategy_linear test_core
    test_files test_mathstuff test_uri
""".split()
# Those bring modules of their own, in Python and other languages, and nothing for the controller.
FOREIGN = """
    binary_modules dict_transformations embedded_module ignore_unreachable missing_required_lib
    module-serialization-profiles module_precedence module_utils_ansible_release
    module_utils_common.respawn old_style_modules_posix want_json_modules_posix
""".split()
TARGETS = sorted(set(ENGINE + PLUGINS + FOREIGN))


def version():
    """The version of ansible-core that scripts/peers.sh installs."""
    peers = (PEERS / "installed").read_text().split()
    return next(peer.split("==")[1] for peer in peers if peer.startswith("ansible-core=="))


def fetch():
    """The unpacked source distribution."""
    place = PEERS / f"ansible_core-{version()}"
    if not (place / "test/integration/targets").is_dir():
        with tempfile.TemporaryDirectory(dir=PEERS) as scratch:
            subprocess.run(
                [PEERS / "bin/pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                 "--no-binary", ":all:", "--dest", scratch, f"ansible-core=={version()}"],
                check=True,
            )
            (archive,) = pathlib.Path(scratch).glob("*.tar.gz")
            subprocess.run(["tar", "--extract", "--file", archive, "--directory", PEERS], check=True)
    return place


def shims(folder):
    """Our program under the names of Ansible's."""
    folder.mkdir(parents=True)
    program = os.environ.get("UPDRAFT", str(ROOT / "target/release/updraft"))
    if not os.access(program, os.X_OK):
        # Links that lead nowhere would have Ansible's own answer in our stead.
        sys.exit(f"ansible-tests: there is no program `{program}`; `make build` makes it")
    for name in SHIMS:
        (folder / name).symlink_to(program)
    return folder


def tools(folder, source):
    """What ansible-test puts in PATH for its targets."""
    folder.mkdir(parents=True)
    injector = source / "test/lib/ansible_test/_util/target/injector"
    (folder / "virtualenv.sh").symlink_to(injector / "virtualenv.sh")
    return folder


def words_of(target):
    aliases = target / "aliases"
    lines = aliases.read_text().splitlines() if aliases.exists() else []
    return [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]


def prepare(source, scratch, name):
    """A tree in which a target may write into its own folder, with the others beside it."""
    tree = scratch / "test/integration"
    (tree / "targets").mkdir(parents=True)
    for beside in (source / "test/integration/targets").iterdir():
        if beside.name == name:
            shutil.copytree(beside, tree / "targets" / name, symlinks=True)
        else:
            (tree / "targets" / beside.name).symlink_to(beside)
    key = os.environ.get("TESTS_SSH")
    reached = (f"ansible_connection=ssh ansible_host=127.0.0.1 ansible_ssh_private_key_file={key}"
               if key else "ansible_connection=local")
    (tree / "inventory").write_text(
        "[testgroup]\n"
        f"testhost {reached} ansible_pipelining=yes ansible_python_interpreter={PYTHON}\n"
    )
    (tree / "integration_config.yml").write_text("{}\n")
    return tree


def run_target(who, path, source, name, lines):
    """Whether a target passes, how long it took, and the last `lines` of what it said."""
    scratch = pathlib.Path(tempfile.mkdtemp(prefix=f"tests-{who}-"))
    try:
        tree = prepare(source, scratch, name)
        target = tree / "targets" / name
        words = words_of(target)
        out, home = scratch / "out", scratch / "home"
        out.mkdir()
        home.mkdir()
        home = os.environ.get("TESTS_HOME", home)
        env = {
            "PATH": f"{path}:{PEERS}/bin:{os.environ['PATH']}",
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            # As ansible-test: no configuration but what a target names.
            "ANSIBLE_CONFIG": str(source / "test/lib/ansible_test/_data/ansible.cfg"),
            "ANSIBLE_TEST_PYTHON_VERSION": PYTHON_VERSION,
            "OUTPUT_DIR": str(out),
            "INVENTORY_PATH": str(tree / "inventory"),
            "ANSIBLE_TEST_PYTHON_INTERPRETER": PYTHON,
            "ANSIBLE_PYTHON_INTERPRETER": PYTHON,
            "ANSIBLE_RETRY_FILES_ENABLED": "False",
            "ANSIBLE_HOST_KEY_CHECKING": "False",
            "ANSIBLE_DEPRECATION_WARNINGS": "True",
            "ANSIBLE_ROLES_PATH": str(tree / "targets"),
            "ANSIBLE_PLAYBOOK_DIR": str(target),
        }
        # What the reference imports and the peers' own Python does not have.
        if "TESTS_IMPORTS" in os.environ:
            env["PYTHONPATH"] = os.environ["TESTS_IMPORTS"]
        for word in words:
            if word.startswith("env/set/"):
                _, _, key, value = word.split("/", 3)
                env[key] = value
        if (target / "runme.sh").exists():
            command, cwd = ["./runme.sh", "-v"], target
        else:
            gather = "no" if "gather_facts/no" in words else "yes"
            (tree / f"{name}.yml").write_text(
                f"- hosts: testhost\n  gather_facts: {gather}\n  vars:\n    output_dir: {out}\n"
                f"  vars_files: [integration_config.yml]\n  roles: [{name}]\n"
            )
            command = ["ansible-playbook", f"{name}.yml", "-i", "inventory", "-v",
                       "-e", json.dumps({"output_dir": str(out)})]
            cwd = tree
        start = time.monotonic()
        log = scratch / "log"
        with log.open("wb") as sink:
            process = subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL,
                                       stdout=sink, stderr=subprocess.STDOUT, start_new_session=True)
            try:
                code = process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                # Whatever it left behind is in a session of its own.
                try:
                    os.killpg(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                process.wait()
        said = log.read_bytes().decode(errors="replace").splitlines()
        return {"passes": code == 0, "code": code, "seconds": round(time.monotonic() - start, 1),
                "said": said[-lines:]}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def show(targets, results):
    """Prints who passes what, and how many."""
    for name in targets:
        row = [f"{who} {'passes' if results[who][name]['passes'] else 'fails ' if results[who][name]['code'] is not None else 'hangs '}"
               f" {results[who][name]['seconds']:6.1f} s" for who in results]
        print(f"{name:34} {'   '.join(row)}")
    for who, rows in results.items():
        passed = [name for name, row in rows.items() if row["passes"]]
        print(f"{who}: {len(passed)} of {len(targets)}, {sum(r['seconds'] for r in rows.values()):.0f} s")
    if len(results) == 2:
        can = [name for name in targets if results["ansible"][name]["passes"]]
        ours = [name for name in can if results["updraft"][name]["passes"]]
        print(f"of those that ansible-core {version()} passes here: {len(ours)} of {len(can)}")


def asked(title, out, usual):
    """The command line, the unpacked source distribution, and the targets that are meant."""
    parser = argparse.ArgumentParser(description=title, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--who", choices=["updraft", "ansible", "both"], default="both")
    parser.add_argument("--width", type=int, default=2, help="targets at once")
    parser.add_argument("--lines", type=int, default=40, help="how much of what was said is kept")
    parser.add_argument("--out", default=str(ROOT / "bench/out" / out))
    parser.add_argument("targets", nargs="*")
    given = parser.parse_args()
    subprocess.run([ROOT / "scripts/peers.sh"], check=True, stdout=subprocess.DEVNULL)
    source = fetch()
    targets = given.targets or usual
    missing = [name for name in targets if not (source / "test/integration/targets" / name).is_dir()]
    if missing:
        sys.exit(f"{parser.prog}: no such target: {' '.join(missing)}")
    return given, source, targets


def write(file, results):
    """The results as JSON."""
    out = pathlib.Path(file)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=1))


def main():
    given, source, targets = asked(__doc__, "ansible-tests.json", TARGETS)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        beside = tools(folder / "tools", source)
        paths = {"updraft": f"{shims(folder / 'bin')}:{beside}", "ansible": beside}
        for who in ["ansible", "updraft"] if given.who == "both" else [given.who]:
            with concurrent.futures.ThreadPoolExecutor(given.width) as pool:
                run = lambda name: run_target(who, paths[who], source, name, given.lines)  # noqa: E731
                results[who] = dict(zip(targets, pool.map(run, targets)))
    show(targets, results)
    write(given.out, results)


if __name__ == "__main__":
    main()
