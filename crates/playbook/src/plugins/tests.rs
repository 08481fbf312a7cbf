//! Plugins in Python: what they are given, what comes back, and how calls nest and end.

use super::*;
use crate::config::Config;
use crate::template::{Context, Outside, Ran, Scope, World};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use updraft_base::{Chance, FixedClock, SeededChance, Timestamp};

/// Filters and a test that import nothing of Ansible.
const FILTERS: &str = r#"
import os, sys

def gives(value, what):
    return {"tuple": (1, 2), "set": {3}, "walk": (x for x in "ab"), "bytes": b"b", "nan": float("nan"),
            "keys": {1: "a", None: (2,)}, "big": 2 ** 70, "odd": object(), "template": "{{ 1 + 1 }}"}[what]

class FilterModule:
    def filters(self):
        return {
            "shout": lambda value, mark="!": value.upper() + mark,
            "kind": lambda value: type(value).__name__,
            "same": lambda value: value,
            "gives": gives,
            "boom": lambda value: 1 / value,
            "join": lambda value, *rest: "own",
            "prints": lambda value: print(value) or os.write(1, b"{}\n") and value,
            "dies": lambda value: os._exit(3),
            "pid": lambda value: os.getpid(),
            "hangs": lambda value: [None for _ in iter(int, 1)],
        }
"#;

const TESTS: &str = r#"
class TestModule:
    def tests(self):
        return {"by": lambda value, other: value % other == 0}
"#;

struct Vars(Value);

impl Scope for Vars {
    fn get(&self, name: &str) -> Option<Value> {
        self.0.get(name).cloned()
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.0.as_dict().unwrap().keys().map(|key| Arc::from(key.to_json_key())).collect()
    }
}

struct Side(Plugins);

impl Outside for Side {
    fn shell(&self, _command: &str, _directory: &Path) -> Result<Ran, String> {
        Err("nothing is run here".to_owned())
    }

    fn chance(&self) -> Box<dyn Chance> {
        Box::new(SeededChance::new(0))
    }

    fn others(&self) -> Option<&dyn Others> {
        Some(&self.0)
    }
}

/// Starts programs, and counts them.
#[derive(Default)]
struct Starts(AtomicUsize);

impl Starts {
    #[expect(clippy::disallowed_methods, reason = "the Python that these tests need")]
    fn talk(program: &Path, args: &[&str]) -> Talk {
        let mut command = Command::new(program);
        let mut child = command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Talk { child, answers }
    }
}

impl Starter for Starts {
    fn start(&self, program: &Path, args: &[&str]) -> Result<Box<dyn Partner>, String> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Self::talk(program, args)))
    }
}

struct Talk {
    child: std::process::Child,
    answers: BufReader<ChildStdout>,
}

impl Partner for Talk {
    fn exchange(&mut self, line: &str) -> Result<String, String> {
        let mut answer = String::new();
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").ok();
        match self.answers.read_line(&mut answer).unwrap() {
            0 => Err("it has ended".to_owned()),
            _ => Ok(answer),
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // Its input ends, and so does it.
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

/// A controller with a playbook of a few files.
struct Place {
    _dir: tempfile::TempDir,
    starts: Arc<Starts>,
    context: Context,
}

fn place(starter: Option<Arc<dyn Starter>>, files: &[(&str, &str)]) -> Place {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let modules = Arc::new(Modules::new(&BTreeMap::new(), None, &Config::default()));
    modules.beside(dir.path());
    let starts = Arc::new(Starts::default());
    let starter = starter.unwrap_or_else(|| Arc::clone(&starts) as Arc<dyn Starter>);
    let vars = "n: 4\ntext: hi\nlazy: \"{{ text | shout }}\"\nneeds: \"{{ nowhere }}\"\n\
                d: {a: \"{{ n }}\", l: [1, true, null, 1.5]}\nday: 2020-01-02\n1: one\n";
    let vars = crate::yaml::parse("vars.yml", vars).unwrap().documents[0].to_value();
    let world = World {
        dialect: crate::template::Dialect::Core219,
        differences: None,
        env: BTreeMap::new(),
        clock: Arc::new(FixedClock(Timestamp::UNIX_EPOCH)),
        seed: 0,
        commands: Arc::new(Side(Plugins::new(modules, starter))),
        vault: Arc::default(),
        config: Arc::default(),
    };
    let context = Context { scope: Arc::new(Vars(vars)), world: Arc::new(world) };
    Place { _dir: dir, starts, context }
}

fn usual() -> Place {
    place(None, &[("filter_plugins/mine.py", FILTERS), ("test_plugins/mine.py", TESTS)])
}

impl Place {
    fn give(&self, source: &str) -> Result<Value, Fault> {
        self.context.finish(&Value::trusted(&format!("{{{{ {source} }}}}"), None))
    }

    fn check(&self, cases: &[(&str, &str)]) {
        for (source, expected) in cases {
            match self.give(source) {
                Ok(value) => assert_eq!(value.repr(), *expected, "{source}"),
                Err(fault) => assert_eq!(fault.what, *expected, "{source}"),
            }
        }
    }
}

#[test]
fn filters_and_tests_beside_a_playbook_are_run() {
    usual().check(&[
        ("text | shout", "'HI!'"),
        ("text | shout('?') ~ (text | shout(mark='.'))", "'HI?HI.'"),
        ("lazy | shout", "'HI!!'"),
        ("[n is by(2), n is by(other=3)]", "[True, False]"),
        ("['a', 'b'] | map('shout') | list", "['A!', 'B!']"),
        ("n is not by(2)", "False"),
    ]);
}

#[test]
fn values_keep_their_types_on_the_way_there_and_back() {
    usual().check(&[
        ("d | same", "{'a': 4, 'l': [1, True, None, 1.5]}"),
        ("(1, 'a') | kind", "'tuple'"),
        ("{1: 2, none: 3} | same", "{1: 2, None: 3}"),
        ("{'': 1} | same", "{'': 1}"),
        ("day | kind", "'date'"),
        ("[day | same | type_debug, day | same | string]", "['date', '2020-01-02']"),
        ("1 | gives('tuple') | type_debug", "'tuple'"),
        ("1 | gives('set')", "[3]"),
        ("1 | gives('walk')", "['a', 'b']"),
        ("1 | gives('bytes')", "'b'"),
        ("1 | gives('keys')", "{1: 'a', None: [2]}"),
        ("1 | gives('nan') | string", "'nan'"),
    ]);
}

#[test]
fn what_a_plugin_gives_is_never_rendered() {
    let place = usual();
    place.check(&[("1 | gives('template')", "'{{ 1 + 1 }}'")]);
}

#[test]
fn failures_are_told_as_ansible_tells_them() {
    usual().check(&[
        ("0 | boom", "The filter plugin 'boom' failed: division by zero"),
        ("'a' is by(2)", "The test plugin 'by' failed: not all arguments converted during string formatting"),
        ("nowhere | shout", "'nowhere' is undefined"),
        ("[nowhere] | same", "'nowhere' is undefined"),
        ("needs | shout", "'nowhere' is undefined"),
        ("text | never", "Syntax error in template: No filter named 'never'."),
        (
            "1 | gives('big')",
            "The filter plugin 'gives' failed: whole numbers beyond 64 bits are not supported: 1180591620717411303424",
        ),
    ]);
}

#[test]
fn a_playbooks_own_stands_before_ours_but_not_under_our_full_name() {
    usual()
        .check(&[("[1, 2] | join(',')", "'own'"), ("[1, 2] | ansible.builtin.join(',')", "'1,2'")]);
}

#[test]
fn one_python_runs_all_and_none_is_started_before() {
    let place = usual();
    place.check(&[("[1, 2] | length", "2"), ("text | upper", "'HI'")]);
    assert_eq!(place.starts.0.load(Ordering::Relaxed), 0);
    let pids: Vec<String> = std::thread::scope(|scope| {
        let ask = || scope.spawn(|| place.give("1 | pid").unwrap().to_text());
        let asked: Vec<_> = (0..8).map(|_| ask()).collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
    assert_eq!(place.starts.0.load(Ordering::Relaxed), 1);
}

#[test]
fn what_a_plugin_prints_disturbs_nobody() {
    usual().check(&[("text | prints", "'hi'"), ("text | shout", "'HI!'")]);
}

#[test]
fn another_is_started_after_one_that_died() {
    let place = usual();
    place.check(&[
        ("1 | dies", "The filter plugin 'dies' cannot be run: it has ended"),
        ("text | shout", "'HI!'"),
    ]);
    assert_eq!(place.starts.0.load(Ordering::Relaxed), 2);
}

#[test]
fn it_ends_with_us_whatever_a_plugin_is_doing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("filter_plugins")).unwrap();
    std::fs::write(dir.path().join("filter_plugins/mine.py"), FILTERS).unwrap();
    let python = Modules::new(&BTreeMap::new(), None, &Config::default()).python().unwrap();
    let mut talk = Starts::talk(&python.program, &["-c", BEGINNING]);
    talk.exchange(&json!({ "program": PROGRAM, "packages": null }).to_string()).unwrap();
    let mut stdin = talk.child.stdin.take().unwrap();
    let call = json!({
        "call": "filter", "name": "hangs", "ours": false, "args": [1], "named": [],
        "beside": [dir.path()],
    });
    writeln!(stdin, "{call}").unwrap();
    drop(stdin);
    let (ended, ends) = std::sync::mpsc::channel();
    std::thread::spawn(move || ended.send(talk.answers.read_line(&mut String::new()).unwrap()));
    assert_eq!(ends.recv_timeout(std::time::Duration::from_secs(30)), Ok(0));
}

/// Asks for two variables and for a template before it answers, as lookups do.
struct Asks;

impl Starter for Asks {
    fn start(&self, _program: &Path, _args: &[&str]) -> Result<Box<dyn Partner>, String> {
        Ok(Box::new(Self))
    }
}

impl Partner for Asks {
    fn exchange(&mut self, line: &str) -> Result<String, String> {
        let said: Json = serde_json::from_str(line).unwrap();
        Ok(match (said["call"].as_str(), said["name"].as_str(), said.get("value")) {
            _ if said.get("program").is_some() => json!({ "ready": true }),
            (Some("lookup"), _, _) => json!({ "ask": "item", "path": [], "name": "lazy" }),
            // While it waits it is called once more.
            (Some("filter"), _, _) => json!({ "gave": "inner" }),
            (_, _, Some(value)) if value.get("").is_some() => {
                json!({ "ask": "template", "value": { "seen": value } })
            }
            (_, _, Some(value)) => json!({ "gave": [value] }),
            _ => json!({ "failed": line }),
        }
        .to_string())
    }
}

#[test]
fn a_lookup_asks_for_variables_as_they_are_written_and_for_templates() {
    let files = [("lookup_plugins/asks.py", ""), ("filter_plugins/mine.py", FILTERS)];
    let place = place(Some(Arc::new(Asks)), &files);
    // Rendering the variable needs a filter, which the same Python has.
    place.check(&[("lookup('asks', 'x')", "{'seen': 'inner'}")]);
}
