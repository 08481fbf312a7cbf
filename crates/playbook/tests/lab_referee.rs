//! The same playbook, run by ansible-core and by us on twin directories, must tell the same story
//! and leave the same files.
//!
//! Needs python3 with venv and a package index for pip; the environment is made once and kept
//! below the build directory.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by panicking")]
#![expect(clippy::disallowed_methods, reason = "the referee is a program outside the workspace")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use updraft_base::{Clock, FixedClock, Timestamp};
use updraft_playbook::config::{self, Config};
use updraft_playbook::inventory::{Inventory, Reading};
use updraft_playbook::output::{Callback, ScreenOptions, Show, Style, Teller};
use updraft_playbook::value::{Dict, Key, Value};
use updraft_playbook::{Loader, Playbook, RunOptions};
use updraft_wire::Peer;

mod here;
mod referee_venv;
mod trees;

use here::{Everywhere, Here, Nobody, Printed};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config as Chances, RngAlgorithm, TestRng, TestRunner};
use referee_venv::ansible;
use updraft_playbook::template::Dialect;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/referee")
}

/// The last of the series that Debian 12 ships. It runs on Python 3.9 to 3.11.
const CLASSIC: &str = "2.14.18";

/// The variable that says by what modules are run.
const PYTHON: &str = "ansible_python_interpreter";

/// What trees are made by chance from.
const SEED: [u8; 32] = *b"which of several values is seen?";

/// Flags of a run.
#[derive(Clone, Copy, Default)]
struct Flags {
    check: bool,
    tags: &'static str,
    skip_tags: &'static str,
    /// Whose words it is in.
    dialect: Dialect,
    /// Settings, as environment variables.
    env: &'static [(&'static str, &'static str)],
    /// Have we the ansible-core that we are compared with?
    core: bool,
    /// The inventory, where it is not the usual one.
    inventory: Option<&'static str>,
}

impl Flags {
    fn inventory(&self) -> PathBuf {
        folder().join(self.inventory.unwrap_or("hosts"))
    }
}

/// What is run.
struct Asked {
    playbooks: Vec<PathBuf>,
    inventories: Vec<PathBuf>,
    extra: Vec<(String, String)>,
}

impl Asked {
    /// One of the playbooks here, which leaves its files below `root`.
    fn of(name: &str, root: &Path, flags: Flags) -> Self {
        Self {
            playbooks: vec![folder().join(name)],
            inventories: vec![flags.inventory()],
            extra: vec![("root".to_owned(), root.display().to_string())],
        }
    }
}

fn ours(name: &str, root: &Path, flags: Flags) -> (String, i32) {
    let (text, code, _) = ours_in_chains(name, root, flags);
    (text, code)
}

/// What we tell, our exit code, and what was asked for together.
fn ours_in_chains(name: &str, root: &Path, flags: Flags) -> (String, i32, Vec<usize>) {
    run_ours(&Asked::of(name, root, flags), flags)
}

fn run_ours(asked: &Asked, flags: Flags) -> (String, i32, Vec<usize>) {
    let pairs = asked.extra.iter();
    let mut extra: Dict = pairs.map(|(name, value)| (Key::str(name), Value::str(value))).collect();
    let python = bin(flags.dialect).join("python").display().to_string();
    extra.insert(Key::str(PYTHON), Value::str(python));
    let words =
        |text: &str| text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    let settings: BTreeMap<String, String> =
        flags.env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let here = config::Here { env: &settings, home: None, cwd: Path::new("/") };
    let config = Arc::new(Config::load(&here).unwrap());
    let place = match flags.core {
        true => [("PATH".to_owned(), ansible().display().to_string())].into(),
        false => BTreeMap::new(),
    };
    let modules = Arc::new(updraft_playbook::Modules::new(&place, None, &config));
    let mut world = referee_venv::world(std::env::vars().collect(), Some(&modules));
    {
        let world = Arc::get_mut(&mut world).unwrap();
        world.config = Arc::clone(&config);
        world.dialect = flags.dialect;
    }
    let loader =
        Loader { world, roles_path: Vec::new(), extra_vars: extra.clone(), modules, strict: false };
    let playbook = Playbook::load(&asked.playbooks, &loader).unwrap();
    let inventory = {
        let shown = asked.inventories.iter().map(|path| path.display().to_string());
        let inventories: Vec<String> = shown.collect();
        let reading = Reading { world: &loader.world, scripts: None, extra_vars: &extra };
        Inventory::load(&inventories, &reading).unwrap()
    };
    let style = if *config.result_format == "yaml" { Style::Yaml } else { Style::Json };
    let callback = Callback::named(&config.stdout_callback).unwrap();
    let options = ScreenOptions {
        dialect: flags.dialect,
        verbosity: 0,
        colour: false,
        width: 79,
        show: Show { style, ..Show::default() },
    };
    let clock: Arc<dyn Clock> = Arc::new(FixedClock(Timestamp::UNIX_EPOCH));
    let teller = Teller::new(callback, &[], options, &clock);
    let printed = Printed(Mutex::new((teller, String::new())));
    let staging = tempfile::tempdir().unwrap();
    let here = Here { peer: Peer::default(), staging, chains: Mutex::default() };
    let reach = Everywhere(Arc::new(here));
    let mut options = RunOptions::ordinary();
    options.extra_vars = extra;
    options.diff = true;
    options.check = flags.check;
    // One after the other, so that both tell hosts in the same order.
    options.forks = 1;
    options.settled = callback.wants_settled();
    options.tags = words(flags.tags);
    options.skip_tags = words(flags.skip_tags);
    let run = playbook.run(&inventory, &reach, &Nobody, &options, &printed);
    let recap = futures::executor::block_on(run).unwrap();
    let text = printed.0.into_inner().unwrap().1;
    let chains = reach.0.chains.lock().unwrap().clone();
    (text, i32::from(recap.exit_code()), chains)
}

/// The programs of the version whose words it is in.
fn bin(dialect: Dialect) -> PathBuf {
    match dialect {
        Dialect::Core214 => referee_venv::venv::installed(CLASSIC),
        Dialect::Core219 => ansible().to_owned(),
    }
}

fn theirs(name: &str, root: &Path, flags: Flags) -> (String, i32) {
    run_theirs(&Asked::of(name, root, flags), flags)
}

fn run_theirs(asked: &Asked, flags: Flags) -> (String, i32) {
    let bin = bin(flags.dialect);
    let mut command = Command::new(bin.join("ansible-playbook"));
    command
        .current_dir(folder())
        .env("LC_ALL", "C.UTF-8")
        .env("ANSIBLE_LOCALHOST_WARNING", "False")
        .env("ANSIBLE_PIPELINING", "1")
        .args(["-f", "1", "--diff", "-e"])
        .arg(format!("{PYTHON}={}", bin.join("python").display()));
    for inventory in &asked.inventories {
        command.arg("-i").arg(inventory);
    }
    for (name, value) in &asked.extra {
        command.arg("-e").arg(format!("{name}={value}"));
    }
    command.envs(flags.env.iter().copied());
    if flags.check {
        command.arg("--check");
    }
    for (option, words) in [("--tags", flags.tags), ("--skip-tags", flags.skip_tags)] {
        if !words.is_empty() {
            command.args([option, words]);
        }
    }
    let out = command.args(&asked.playbooks).output().expect("ansible-playbook runs");
    (String::from_utf8(out.stdout).unwrap(), out.status.code().unwrap())
}

/// The story without what may differ: places of files, texts of errors, details of results.
fn story(text: &str, root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut in_fault = false;
    for line in text.replace(&root.display().to_string(), "ROOT").lines() {
        let status = [
            "ok:",
            "changed:",
            "skipping:",
            "fatal:",
            "failed:",
            "included:",
            "...ignoring",
            "PLAY ",
            "TASK ",
            "RUNNING ",
            "h1 | ",
            "h2 | ",
        ]
        .iter()
        .any(|word| line.starts_with(word));
        if ["[ERROR]", "[WARNING]", "[DEPRECATION WARNING]"]
            .iter()
            .any(|mark| line.starts_with(mark))
        {
            in_fault = true;
        } else if status {
            in_fault = false;
        }
        if in_fault || line.trim().is_empty() {
            continue;
        }
        let line = match line.split_once("! => {") {
            Some((head, _)) if status => format!("{head}!"),
            _ if line.starts_with("failed:") => {
                line.split(" => {").next().unwrap_or(line).to_owned()
            }
            // How long it took follows, and when that was.
            _ if line.contains("\"delta\": ") => {
                line.split("\"delta\": ").next().unwrap_or(line).to_owned()
            }
            // The controller's own copy of a rendered template has a name drawn by chance.
            _ if line.starts_with("+++ after:") || line.starts_with("--- before:") => {
                line[..9].to_owned()
            }
            _ => line.to_owned(),
        };
        lines.push(line);
    }
    lines
}

/// Every file below a directory: its mode, owner and content.
fn tree(root: &Path) -> BTreeMap<String, (u32, u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(path) = open.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let content = if meta.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Vec::new()
        } else if meta.is_symlink() {
            fs::read_link(&path)
                .unwrap()
                .display()
                .to_string()
                .replace(&root.display().to_string(), "ROOT")
                .into_bytes()
        } else {
            let text = fs::read(&path).unwrap();
            String::from_utf8(text.clone())
                .map(|text| text.replace(&root.display().to_string(), "ROOT").into_bytes())
                .unwrap_or(text)
        };
        found.insert(name, (meta.permissions().mode(), meta.uid(), content));
    }
    found
}

fn compare(name: &str, rounds: &[Flags]) {
    let base = tempfile::tempdir().unwrap();
    let (mine, other) = (base.path().join("a"), base.path().join("b"));
    for root in [&mine, &other] {
        fs::create_dir(root).unwrap();
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for (round, flags) in rounds.iter().enumerate() {
        let (their_text, their_code) = theirs(name, &other, *flags);
        let (text, code) = ours(name, &mine, *flags);
        let (expected, found) = (story(&their_text, &other), story(&text, &mine));
        if expected != found {
            let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
            let save = |whose: &str, lines: &[String], text: &str| {
                let path = place.join(format!("{}.{round}.{whose}", name.replace('/', "-")));
                fs::write(&path, lines.join("\n") + "\n\n" + text).unwrap();
                path.display().to_string()
            };
            let at = (0..).find(|at| expected.get(*at) != found.get(*at)).unwrap();
            panic!(
                "{name}, round {round}: line {at} is {:?}, ansible-core says {:?}; compare {} and {}",
                found.get(at),
                expected.get(at),
                save("ours", &found, &text),
                save("theirs", &expected, &their_text),
            );
        }
        assert_eq!(code, their_code, "{name}, round {round}: exit code");
        let (expected, found) = (tree(&other), tree(&mine));
        for (path, left) in &expected {
            let own = found
                .get(path)
                .unwrap_or_else(|| panic!("{name}, round {round}: `{path}` is missing"));
            assert_eq!(
                (left.0, left.1),
                (own.0, own.1),
                "{name}, round {round}: mode and owner of `{path}`"
            );
            assert_eq!(
                String::from_utf8_lossy(&left.2),
                String::from_utf8_lossy(&own.2),
                "{name}, round {round}: content of `{path}`"
            );
        }
        assert_eq!(expected.len(), found.len(), "{name}, round {round}: we left more files");
    }
}

const PLAIN: Flags = Flags {
    check: false,
    tags: "",
    skip_tags: "",
    dialect: Dialect::Core219,
    env: &[],
    core: false,
    inventory: None,
};
const CHECK: Flags = Flags { check: true, ..PLAIN };

#[test]
fn files_and_templates_are_left_alike_and_a_second_run_changes_nothing() {
    compare("files.yml", &[CHECK, PLAIN, PLAIN, CHECK]);
}

#[test]
fn roles_tell_and_leave_the_same() {
    compare("roles.yml", &[PLAIN, PLAIN]);
}

#[test]
fn control_flow_tells_the_same() {
    compare("flow.yml", &[PLAIN]);
}

#[test]
fn what_steers_a_play_tells_the_same() {
    compare("control.yml", &[PLAIN]);
}

#[test]
fn loops_tell_the_same() {
    compare("loops.yml", &[PLAIN]);
}

#[test]
fn templates_and_filters_give_the_same() {
    compare("filters.yml", &[PLAIN]);
}

#[test]
fn variables_and_hosts_are_seen_the_same() {
    compare("vars.yml", &[PLAIN]);
    compare("values.yml", &[PLAIN]);
}

#[test]
fn tags_choose_the_same() {
    let only = |tags, skip_tags| Flags { tags, skip_tags, ..PLAIN };
    compare(
        "tags.yml",
        &[
            PLAIN,
            only("a", ""),
            only("never,b", ""),
            only("", "a"),
            only("tagged", ""),
            only("untagged", ""),
            only("", "always"),
        ],
    );
}

#[test]
fn batches_and_broken_hosts_tell_the_same() {
    compare("batches.yml", &[PLAIN]);
}

#[test]
fn handlers_tell_the_same() {
    compare("handlers.yml", &[PLAIN]);
}

#[test]
fn what_a_role_asks_for_is_compared_alike() {
    compare("specs.yml", &[PLAIN]);
}

#[test]
fn the_same_text_may_be_a_condition() {
    compare("conditions.yml", &[PLAIN]);
}

#[test]
fn dicts_come_together_alike() {
    let merge = Flags { env: &[("ANSIBLE_HASH_BEHAVIOUR", "merge")], ..PLAIN };
    compare("merge.yml", &[PLAIN, merge]);
}

#[test]
fn work_for_other_hosts_tells_the_same() {
    compare("delegation.yml", &[PLAIN]);
}

#[test]
fn checkouts_move_alike() {
    compare("git.yml", &[PLAIN]);
}

#[test]
fn keys_of_hosts_are_kept_alike() {
    compare("known_hosts.yml", &[PLAIN, PLAIN]);
}

#[test]
fn packages_of_python_come_and_go_alike() {
    compare("pip.yml", &[PLAIN]);
}

#[test]
fn collections_and_defaults_of_groups_are_found_alike() {
    compare("collections.yml", &[PLAIN]);
}

#[test]
fn plugins_in_python_give_and_fail_alike() {
    compare("plugins/site.yml", &[Flags { core: true, ..PLAIN }]);
}

#[test]
fn arguments_are_refused_in_the_same_words() {
    compare("refused.yml", &[PLAIN]);
}

#[test]
fn names_of_handlers_and_roles_mean_the_same() {
    compare("names.yml", &[PLAIN]);
}

#[test]
fn results_as_yaml_look_the_same() {
    let yaml = Flags { env: &[("ANSIBLE_CALLBACK_RESULT_FORMAT", "yaml")], ..PLAIN };
    compare("shown.yml", &[yaml]);
}

#[test]
fn callbacks_that_tell_tasks_as_a_whole_tell_the_same() {
    let by = |callback: &'static [(&'static str, &'static str)]| Flags { env: callback, ..PLAIN };
    let minimal = by(&[("ANSIBLE_STDOUT_CALLBACK", "minimal")]);
    let one_line = by(&[("ANSIBLE_STDOUT_CALLBACK", "oneline")]);
    compare("brief.yml", &[minimal, one_line]);
}

#[test]
fn of_two_values_the_same_one_wins() {
    compare("precedence/play.yml", &[Flags { inventory: Some("precedence/inv/hosts"), ..PLAIN }]);
}

/// The model that the unit tier compares us with could be wrong where we are.
#[test]
fn of_many_values_in_places_by_chance_the_same_one_wins() {
    /// Facts that any Linux has, one for each tree.
    const FACTS: [&str; 6] = [
        "ansible_architecture",
        "ansible_kernel",
        "ansible_nodename",
        "ansible_os_family",
        "ansible_system",
        "ansible_user_id",
    ];
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &SEED);
    let mut chances = TestRunner::new_with_rng(Chances::default(), rng);
    let mut any = || trees::tree(16..=20).new_tree(&mut chances).unwrap().current();
    let trees: Vec<trees::Tree> = FACTS.iter().map(|_| any()).collect();
    let prefixes: Vec<String> = (0..FACTS.len()).map(|at| format!("t{at}_")).collect();
    let named =
        |at: usize| trees::Named { tree: &trees[at], prefix: &prefixes[at], fact: FACTS[at] };
    let dir = tempfile::tempdir().unwrap();
    let mut asked = Asked { playbooks: vec![], inventories: vec![], extra: vec![] };
    for (at, prefix) in prefixes.iter().enumerate() {
        let folder = dir.path().join(prefix);
        for (path, text) in named(at).files() {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        asked.playbooks.push(folder.join("site.yml"));
        asked.inventories.push(folder.join("inv/hosts"));
        asked.extra.extend(named(at).extra());
    }
    fs::write(dir.path().join("hosts"), "[all:vars]\nansible_connection=local\n").unwrap();
    asked.inventories.push(dir.path().join("hosts"));
    let (their_text, their_code) = run_theirs(&asked, PLAIN);
    let (text, code, _) = run_ours(&asked, PLAIN);
    let mut faults = String::new();
    for (at, tree) in trees.iter().enumerate() {
        for (who, text) in [("ansible-core", &their_text), ("our run", &text)] {
            if let Some(differences) = named(at).differences(text) {
                faults += &format!("{who} is not as the model:\n{differences}{tree:?}\n");
            }
        }
    }
    assert!(faults.is_empty(), "{faults}");
    assert_eq!((code, their_code), (0, 0), "{their_text}");
}

#[test]
fn results_are_data_and_what_is_omitted_is_gone() {
    compare("data.yml", &[PLAIN]);
}

#[test]
fn tries_items_and_verdicts_tell_the_same() {
    compare("tries.yml", &[PLAIN]);
}

#[test]
fn handlers_run_in_the_same_order_for_the_same_hosts() {
    compare("sections.yml", &[PLAIN]);
}

#[test]
fn blocks_give_and_catch_the_same() {
    compare("blocks.yml", &[PLAIN]);
}

#[test]
fn what_is_imported_and_included_is_the_same() {
    compare("included.yml", &[PLAIN]);
}

#[test]
fn plays_and_batches_end_alike() {
    // Most of these plays end the run: each has a tag.
    for tags in ["many", "few", "once", "batches", "play", "facts", "fatal", "lost"] {
        compare("aborts.yml", &[Flags { tags, ..PLAIN }]);
    }
}

#[test]
fn words_are_split_alike_and_the_same_is_out_of_sight() {
    compare("words.yml", &[PLAIN, CHECK]);
}

#[test]
fn keywords_and_words_that_are_wrong_tell_the_same() {
    compare("keywords.yml", &[PLAIN]);
}

#[test]
fn facts_come_from_the_same_modules() {
    compare("gathering.yml", &[PLAIN]);
}

#[test]
fn files_are_looked_for_and_left_alike() {
    compare("places.yml", &[PLAIN, PLAIN]);
}

#[test]
fn the_same_hosts_are_chosen_in_the_same_order() {
    compare("chosen.yml", &[PLAIN]);
}

#[test]
fn facts_that_one_keeps_the_other_finds() {
    let dir = tempfile::tempdir().unwrap();
    let place: &'static str = dir.path().display().to_string().leak();
    let env: &'static [(&'static str, &'static str)] = vec![
        ("ANSIBLE_CACHE_PLUGIN", "jsonfile"),
        ("ANSIBLE_CACHE_PLUGIN_CONNECTION", place),
        ("ANSIBLE_CACHE_PLUGIN_PREFIX", "kept_"),
    ]
    .leak();
    let tagged = |tags| Flags { tags, env, ..PLAIN };
    // In each round Ansible comes first: it reads what we kept in the round before.
    compare("cache.yml", &[tagged("keep"), tagged("use"), tagged("keep"), tagged("use")]);
}

#[test]
fn variables_of_roles_and_facts_are_seen_where_ansible_sees_them() {
    let with = |env| Flags { env, ..PLAIN };
    compare("private.yml", &[PLAIN]);
    compare("private.yml", &[with(&[("ANSIBLE_PRIVATE_ROLE_VARS", "1")])]);
    compare("private.yml", &[with(&[("ANSIBLE_PRIVATE_ROLE_VARS", "0")])]);
    compare("private.yml", &[with(&[("ANSIBLE_INJECT_FACT_VARS", "0")])]);
}

/// Unlike the stories above to the letter: these are the texts that people look for.
#[test]
fn failures_are_told_in_the_words_of_the_dialect() {
    for (name, dialect) in [
        ("words_214.yml", Dialect::Core214),
        ("words_219.yml", Dialect::Core219),
        ("calls.yml", Dialect::Core219),
    ] {
        let root = tempfile::tempdir().unwrap();
        let flags = Flags { dialect, ..PLAIN };
        let (ours, code) = ours(name, root.path(), flags);
        let (theirs, expected) = theirs(name, root.path(), flags);
        let lines = ours.lines().zip(theirs.lines());
        let differ: Vec<_> = lines.filter(|(our, their)| our != their).take(10).collect();
        assert!(differ.is_empty(), "{name}: {differ:#?}");
        assert_eq!(ours, theirs, "{name}");
        assert_eq!(code, expected, "{name}");
    }
}

/// Hosts that are not this computer are sent several tasks at once. That is seen by nobody.
#[test]
fn tasks_that_are_sent_together_tell_and_leave_the_same() {
    const FAR: Flags = Flags { inventory: Some("hosts_far"), ..PLAIN };
    let mut together = 0;
    for name in [
        "batches.yml",
        "blocks.yml",
        "conditions.yml",
        "control.yml",
        "data.yml",
        "delegation.yml",
        "files.yml",
        "flow.yml",
        "handlers.yml",
        "included.yml",
        "loops.yml",
        "merge.yml",
        "names.yml",
        "places.yml",
        "private.yml",
        "roles.yml",
        "sections.yml",
        "refused.yml",
        "specs.yml",
        "tags.yml",
        "tries.yml",
        "words.yml",
    ] {
        let base = tempfile::tempdir().unwrap();
        let (near, far) = (base.path().join("a"), base.path().join("b"));
        fs::create_dir(&near).unwrap();
        fs::create_dir(&far).unwrap();
        for check in [true, false, false] {
            let (text, code) = ours(name, &near, Flags { check, ..PLAIN });
            let (far_text, far_code, chains) = ours_in_chains(name, &far, Flags { check, ..FAR });
            assert_eq!(story(&far_text, &far), story(&text, &near), "{name}, check {check}");
            assert_eq!(far_code, code, "{name}, check {check}");
            assert_eq!(tree(&far), tree(&near), "{name}, check {check}");
            together += chains.iter().sum::<usize>();
        }
    }
    assert!(together > 100, "only {together} tasks went out with others");
}
