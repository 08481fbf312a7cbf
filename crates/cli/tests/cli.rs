//! The binary as a user meets it, on simulated machines: words, exit codes, and what stays behind.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![expect(clippy::disallowed_methods, reason = "a test starts the binary itself")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with a site, and an environment that knows nothing of the user's.
struct Stage {
    dir: tempfile::TempDir,
}

const SITE: &str = "\
site: shop
networks: { lan: { cidr: 10.77.0.0/24 } }
images: { debian: { bootstrap: bookworm } }
groups:
  web: { image: debian, provider: sim, count: 2, memory: 256MiB }
";

impl Stage {
    fn new(site: &str) -> Self {
        let stage = Self { dir: tempfile::tempdir().unwrap() };
        stage.write("updraft.yaml", site);
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_updraft"));
        command
            .env_clear()
            .env("HOME", self.dir.path())
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .env("UPDRAFT_STORE", self.path("store"))
            .current_dir(self.dir.path())
            .args(args);
        command
    }

    /// Runs a command that must end with this code; returns both outputs.
    fn ends(&self, code: i32, args: &[&str]) -> (String, String) {
        let output = self.run(args);
        let out = String::from_utf8(output.stdout).unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{err}");
        (out, err)
    }

    fn json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.ends(0, args).0).unwrap()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_command_has_help_with_an_example() {
    let stage = Stage::new(SITE);
    let (top, _) = stage.ends(0, &["--help"]);
    let mut commands: Vec<Vec<String>> = Vec::new();
    for command in subcommands(&top) {
        let (help, _) = stage.ends(0, &[&command, "--help"]);
        match subcommands(&help).as_slice() {
            [] => commands.push(vec![command]),
            inner => {
                commands.extend(inner.iter().map(|sub| vec![command.clone(), sub.clone()]));
            }
        }
    }
    assert!(commands.len() >= 25, "{commands:?}");
    for command in commands {
        let mut args: Vec<&str> = command.iter().map(String::as_str).collect();
        args.push("--help");
        let (help, _) = stage.ends(0, &args);
        assert!(help.contains("Example"), "{command:?}\n{help}");
    }
}

/// Names below `Commands:` in a help text, without `help` itself.
fn subcommands(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_site_goes_up_and_away_and_leaves_nothing() {
    let stage = Stage::new(SITE);
    let before = names(stage.dir.path());
    assert_eq!(stage.ends(3, &["plan", "--detailed-exitcode"]).0.lines().next(), Some("Create"));
    assert_eq!(names(stage.dir.path()), before, "a plan wrote something");
    let (_, told) = stage.ends(0, &["up"]);
    assert!(told.contains("create web-1") && told.lines().last().unwrap().starts_with("Done"));
    let (_, told) = stage.ends(0, &["up"]);
    assert_eq!(told, "Nothing to do.\n");
    stage.ends(0, &["plan", "--detailed-exitcode"]);
    let status = stage.json(&["status", "--json"]);
    assert_eq!(status["ok"], true);
    assert_eq!(status["machines"][1]["name"], "web-2");
    let (_, told) = stage.ends(0, &["destroy", "--yes"]);
    assert!(told.contains("destroy web-2"), "{told}");
    assert_eq!(names(stage.dir.path()), before);
    stage.ends(0, &["destroy", "--yes"]);
}

#[test]
fn destroying_without_being_asked_needs_a_yes() {
    let stage = Stage::new(SITE);
    stage.ends(0, &["up"]);
    stage.write("updraft.yaml", &SITE.replace("count: 2", "count: 1"));
    let (_, told) = stage.ends(2, &["up"]);
    assert!(told.contains("web-2") && told.contains("--yes"), "{told}");
    assert_eq!(stage.json(&["status", "--json"])["machines"].as_array().unwrap().len(), 2);
    stage.ends(0, &["up", "--yes"]);
    assert_eq!(stage.json(&["status", "--json"])["machines"].as_array().unwrap().len(), 1);
}

#[test]
fn every_fault_is_told_at_once_with_exit_code_2_and_nothing_is_touched() {
    let stage = Stage::new(SITE);
    stage.write(
        "updraft.yaml",
        "site: Shop\nnetworks: { lan: { cidr: 10.77.0.0/24 } }\nimages: { debian: { bootstrap: bookworm } }\ngroups:\n  web: { imag: debian, count: 0, memory: 12 }\n",
    );
    for command in [&["check"][..], &["plan"], &["up", "--yes"], &["status"], &["destroy", "--yes"]]
    {
        let (_, told) = stage.ends(2, command);
        for part in ["updraft.yaml:1:7", "updraft.yaml:5:10", "image"] {
            assert!(told.contains(part), "{command:?} does not say {part}\n{told}");
        }
    }
    assert_eq!(names(stage.dir.path()), ["updraft.yaml"]);
    let output = stage.run(&["check", "--json"]);
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(told["faults"].as_array().unwrap().len() >= 4, "{told}");
}

#[test]
fn a_missing_site_file_says_how_to_begin() {
    let stage = Stage::new(SITE);
    let (_, told) = stage.ends(2, &["--site", "nowhere.yaml", "plan"]);
    assert!(told.contains("nowhere.yaml") && told.contains("updraft init"), "{told}");
}

#[test]
fn init_writes_a_site_that_is_fine_and_overwrites_nothing() {
    let stage = Stage::new(SITE);
    std::fs::remove_file(stage.path("updraft.yaml")).unwrap();
    let (files, _) = stage.ends(0, &["init", "--name", "shop"]);
    assert!(files.lines().any(|line| line == "updraft.yaml"), "{files}");
    stage.ends(0, &["check"]);
    let (_, told) = stage.ends(2, &["init"]);
    assert!(told.contains("is there already"), "{told}");
}

#[test]
fn a_saved_plan_is_applied_exactly_or_refused() {
    let stage = Stage::new(SITE);
    stage.ends(0, &["plan", "-o", "now.plan"]);
    stage.ends(0, &["up", "now.plan"]);
    let (_, told) = stage.ends(1, &["up", "now.plan"]);
    assert!(told.contains("no longer fits") && told.contains("is new"), "{told}");
    stage.write("other.plan", "{\"version\": 99}");
    let (_, told) = stage.ends(1, &["up", "other.plan"]);
    assert!(told.contains("version 99"), "{told}");
}

#[test]
fn past_runs_and_their_steps_are_kept() {
    let stage = Stage::new(SITE);
    assert_eq!(stage.json(&["log", "--json"]), serde_json::json!([]));
    stage.ends(0, &["up"]);
    let runs = stage.json(&["log", "--json"]);
    assert_eq!((&runs[0]["outcome"], &runs[0]["command"]), (&"done".into(), &"updraft up".into()));
    let run = stage.json(&["log", "last", "--json"]);
    let steps = run["steps"].as_array().unwrap();
    assert!(steps.iter().all(|step| step["state"] == "done"), "{run}");
    stage.ends(0, &["down"]);
    stage.ends(0, &["log", run["run"]["id"].as_str().unwrap()]);
    let (_, told) = stage.ends(1, &["log", "0"]);
    assert!(told.contains("single run `0`"), "{told}");
    let (_, told) = stage.ends(1, &["log", "nonsense"]);
    assert!(told.contains("there is no run `nonsense`"), "{told}");
}

#[test]
fn a_killed_run_is_taken_up_by_the_same_command() {
    let stage = Stage::new(SITE);
    let killed = stage.command(&["up"]).env("UPDRAFT_CRASH_AT", "7").output().unwrap();
    assert_eq!(killed.status.code(), None, "it was to be killed");
    let (_, told) = stage.ends(0, &["up"]);
    assert!(told.contains("Taking up a run"), "{told}");
    assert_eq!(stage.json(&["status", "--json"])["ok"], true);
    assert_eq!(stage.json(&["log", "--json"]).as_array().unwrap().len(), 1);
    stage.ends(0, &["up"]);
}

#[test]
fn a_machine_is_resized_by_hand_and_the_site_file_has_the_last_word() {
    let stage = Stage::new(SITE);
    let (_, told) = stage.ends(1, &["machine", "resize", "web-1", "--cpus", "2"]);
    assert!(told.contains("not made yet"), "{told}");
    stage.ends(0, &["up"]);
    stage.ends(2, &["machine", "resize", "web-1"]);
    let (_, told) = stage.ends(2, &["machine", "resize", "web-1", "--memory", "1MiB"]);
    assert!(told.contains("at least 64MiB"), "{told}");
    let by_hand = ["machine", "resize", "web-1", "--memory", "1GiB", "--cpus", "1"];
    let (_, told) = stage.ends(0, &by_hand);
    for words in [
        "resize: memory 256MiB → 1GiB (restart)",
        "`updraft.yaml` says memory: 256MiB for group web",
        "takes this back",
    ] {
        assert!(told.contains(words), "{words} in {told}");
    }
    assert!(told.lines().last().unwrap().starts_with("Done"), "{told}");
    assert!(stage.ends(0, &by_hand).1.ends_with("Nothing to do.\n"));
    let (plan, _) = stage.ends(3, &["plan", "--detailed-exitcode"]);
    assert!(plan.contains("web-1  resize: memory 1GiB → 256MiB (restart)"), "{plan}");
    stage.ends(0, &["up"]);
    stage.ends(0, &["plan", "--detailed-exitcode"]);

    let (_, told) = stage.ends(0, &["machine", "resize", "web-2", "--disk", "8GiB"]);
    assert!(told.contains("disk 2GiB → 8GiB (no restart)"), "{told}");
    assert!(told.contains("is refused, because a disk never shrinks"), "{told}");
    let (_, told) = stage.ends(2, &["plan"]);
    assert!(told.contains("the disk of `web-2` has 8GiB and 2GiB are asked for"), "{told}");
    assert!(told.contains("help: write `disk: 8GiB` for group `web`"), "{told}");
    stage.write("updraft.yaml", &SITE.replace("256MiB }", "256MiB, disk: 8GiB }"));
    stage.ends(0, &["up"]);
    stage.ends(0, &["plan", "--detailed-exitcode"]);
}

#[test]
fn machines_are_reached_by_pattern_and_a_failure_shows_in_the_exit_code() {
    let stage = Stage::new(SITE);
    stage.ends(0, &["up"]);
    let (out, err) = stage.ends(0, &["ping"]);
    assert!(out.contains("web-1 answers") && err.contains("2 hosts: 2 ok"), "{out}{err}");
    stage.ends(0, &["machine", "stop", "web-2"]);
    let (_, told) = stage.ends(1, &["ping"]);
    assert!(told.contains("web-2") && told.contains("1 failed"), "{told}");
    stage.ends(0, &["machine", "start", "web-2"]);
    stage.ends(0, &["ping", "web[1]"]);
    let (_, told) = stage.ends(1, &["ping", "nobody"]);
    assert!(told.contains("nobody"), "{told}");
}

#[test]
fn a_machine_that_is_not_made_yet_fails_alone() {
    let stage = Stage::new(SITE);
    stage.ends(0, &["up"]);
    stage.write("updraft.yaml", &SITE.replace("count: 2", "count: 3"));
    let (out, told) = stage.ends(1, &["ping"]);
    assert!(out.contains("web-2 answers"), "{out}");
    assert!(told.contains("web-3: `web-3` is not made yet") && told.contains("1 failed"), "{told}");
    // Not even by its name: a stranger may have it.
    stage.write("all.yml", "- hosts: all\n  gather_facts: false\n  tasks: [{ ping: }]\n");
    let (told, _) = stage.ends(4, &["play", "all.yml"]);
    assert!(told.contains("fatal: [web-3]: UNREACHABLE!"), "{told}");
    assert!(told.contains("`web-3` is not made yet"), "{told}");
}

#[test]
fn the_inventory_is_what_ansible_expects_of_a_script() {
    let stage = Stage::new(SITE);
    stage.ends(0, &["up"]);
    let list = stage.json(&["inventory", "--list"]);
    assert_eq!(list["web"]["hosts"], serde_json::json!(["web-1", "web-2"]));
    assert_eq!(list["_meta"]["hostvars"]["web-1"]["ansible_host"], "10.77.0.10");
    assert_eq!(stage.json(&["inventory", "--host", "web-2"])["ansible_host"], "10.77.0.11");
    let (config, _) = stage.ends(0, &["inventory", "--ssh-config"]);
    assert!(config.contains("Host web-1 web-1.shop.test") && config.contains("Checking yes"));
    let (hosts, _) = stage.ends(0, &["inventory", "--hosts"]);
    assert_eq!(hosts.lines().next(), Some("10.77.0.10 web-1.shop.test web-1"));
}

#[test]
fn schema_doctor_and_completions_print_what_they_promise() {
    let stage = Stage::new(SITE);
    assert_eq!(stage.json(&["schema"])["type"], "object");
    let output = stage.run(&["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["places"].as_array().unwrap().len() >= 3, "{report}");
    for shell in ["bash", "zsh", "fish"] {
        assert!(stage.ends(0, &["completions", shell]).0.contains("updraft"));
    }
}

#[test]
fn an_unknown_word_is_the_command_lines_fault() {
    let stage = Stage::new(SITE);
    stage.ends(2, &["upp"]);
    stage.ends(2, &["up", "--no-such-option"]);
    stage.ends(2, &["exec", "all"]);
}

#[test]
fn a_file_is_encrypted_shown_and_decrypted_with_the_password_that_a_file_holds() {
    let stage = Stage::new(SITE);
    stage.write("pw", "letmein\n");
    stage.write("wrong", "guess\n");
    stage.write("secret.yml", "token: hunter2\n");
    let vault = ["vault", "encrypt", "--vault-password-file", "pw", "secret.yml"];
    stage.ends(0, &vault);
    let kept = std::fs::read_to_string(stage.path("secret.yml")).unwrap();
    assert!(kept.starts_with("$ANSIBLE_VAULT;1.1;AES256\n") && !kept.contains("hunter2"));
    // Encrypting it once more would lose what is in it for whoever forgets that.
    let (_, err) = stage.ends(1, &vault);
    assert!(err.contains("input is already encrypted"), "{err}");
    let (out, _) = stage.ends(0, &["vault", "view", "--vault-id", "dev@pw", "secret.yml"]);
    assert_eq!(out, "token: hunter2\n");
    let (out, err) = stage.ends(1, &["vault", "view", "--vault-id", "wrong", "secret.yml"]);
    assert!(out.is_empty() && err.contains("no vault secrets were found that could decrypt"));
    let both = ["vault", "encrypt", "--vault-id", "pw", "--vault-id", "wrong", "pw"];
    let (_, err) = stage.ends(5, &both);
    assert!(err.contains("Specify the vault-id to encrypt with"), "{err}");
    stage.ends(0, &["vault", "decrypt", "--vault-id", "pw", "secret.yml"]);
    assert_eq!(std::fs::read_to_string(stage.path("secret.yml")).unwrap(), "token: hunter2\n");
}

#[test]
fn an_inventory_is_listed_with_what_ansible_cfg_says() {
    let stage = Stage::new(SITE);
    stage.write("ansible.cfg", "[defaults]\ninventory = hosts.ini\n");
    stage.write("hosts.ini", "[web]\nw[1:2] port=80\n");
    let (out, _) = stage.ends(0, &["inventory", "--graph", "web"]);
    assert_eq!(out, "@web:\n  |--w1\n  |--w2\n");
    let (out, _) = stage.ends(0, &["exec", "web", "--list-hosts", "--limit", "!w1"]);
    assert_eq!(out, "  hosts (1):\n    w2\n");
    let (_, err) = stage.ends(5, &["inventory", "--list", "--graph"]);
    assert!(err.contains("Conflicting options"), "{err}");
}

#[test]
fn a_play_ends_as_ansibles_would_when_something_is_not_there() {
    let stage = Stage::new(SITE);
    let play = |code: i32, book: &str| stage.ends(code, &["play", "-i", "localhost,", book]).1;
    assert!(play(1, "nope.yml").contains("the playbook: nope.yml could not be found"));
    assert!(play(1, ".").contains("the playbook: . does not appear to be a file"));
    stage.write("empty.yml", "---\n");
    assert!(play(4, "empty.yml").contains("Empty playbook, nothing to do: "));
    stage.write("role.yml", "- hosts: all\n  roles: [nope]\n");
    assert!(play(1, "role.yml").contains("the role 'nope' was not found"));
    stage.write("tasks.yml", "- hosts: all\n  tasks: [{import_tasks: nope.yml}]\n");
    assert!(play(1, "tasks.yml").contains("Could not find or access"));
    stage.write("fault.yml", "- hosts: all\n  tusks: []\n");
    play(4, "fault.yml");
}
