//! Templates, rendered by ansible-core and by us, must give the same value of the same type, or be
//! refused by both.
//!
//! `templates/corpus.txt` holds one template a line, `⏎` for a line break. A line that begins with
//! `!` is refused, and the messages are compared too. A line that begins with `?` is one that is
//! known to differ: it must differ still, so that the list is true.
//!
//! Needs python3 with venv and a package index for pip; the environment is made once and kept
//! below the build directory.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by panicking")]
#![expect(clippy::disallowed_methods, reason = "the referee is a program outside the workspace")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use updraft_playbook::template::{Context, Scope};
use updraft_playbook::value::{Dict, Value};
use updraft_playbook::yaml;

mod referee_venv;

struct Vars(Dict);

impl Scope for Vars {
    fn get(&self, name: &str) -> Option<Value> {
        self.0.get(name).cloned()
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.0.keys().filter_map(|key| key.as_str()).map(Arc::from).collect()
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates")
}

/// What became of a template.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Value(String),
    Refused(String),
}

fn ours(templates: &[String]) -> Vec<Answer> {
    let text = std::fs::read_to_string(folder().join("vars.yml")).unwrap();
    let vars = yaml::parse("vars.yml", &text).unwrap().documents[0].to_value();
    let mut vars = vars.as_dict().cloned().unwrap();
    vars.insert("playbook_dir".into(), Value::from(folder().display().to_string()));
    let world = referee_venv::world(std::env::vars().collect(), None);
    let context = Context { scope: Arc::new(Vars(vars)), world };
    let answer = |source: &String| match context.finish(&Value::trusted(source, None)) {
        Ok(Value::Omit) => Answer::Refused("A template was resolved to an Omit scalar.".to_owned()),
        Ok(value) => Answer::Value(format!("{value:?}")),
        Err(fault) => Answer::Refused(fault.what),
    };
    templates.iter().map(answer).collect()
}

fn theirs(templates: &[String]) -> Vec<Answer> {
    let asked = serde_json::json!({"vars": folder().join("vars.yml"), "templates": templates});
    let mut child = Command::new(referee_venv::ansible().join("python"))
        .arg(folder().join("reference.py"))
        .current_dir(folder())
        .env("LC_ALL", "C.UTF-8")
        .env("ANSIBLE_NOCOLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("python runs");
    child.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "the reference failed");
    let answers: Vec<serde_json::Value> = serde_json::from_slice(&out.stdout).unwrap();
    let answer = |answer: serde_json::Value| match (answer["value"].as_str(), &answer["error"]) {
        (Some(value), _) => Answer::Value(value.to_owned()),
        (None, error) => Answer::Refused(error.as_str().unwrap().to_owned()),
    };
    answers.into_iter().map(answer).collect()
}

#[test]
fn templates_give_what_ansible_core_gives() {
    let corpus = std::fs::read_to_string(folder().join("corpus.txt")).unwrap();
    let lines: Vec<&str> =
        corpus.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")).collect();
    let template = |line: &&str| line.trim_start_matches(['!', '?']).replace('⏎', "\n");
    let templates: Vec<String> = lines.iter().map(template).collect();
    let mut told = String::new();
    let mut wrong = 0;
    for ((line, ours), theirs) in lines.iter().zip(ours(&templates)).zip(theirs(&templates)) {
        let same = match (&ours, &theirs) {
            (Answer::Value(ours), Answer::Value(theirs)) => ours == theirs,
            (Answer::Refused(ours), Answer::Refused(theirs)) => {
                !line.starts_with('!') || ours == theirs
            }
            _ => false,
        };
        if same == line.starts_with('?') {
            wrong += 1;
            let verdict = if same { "no longer differs" } else { "differs" };
            told.push_str(&format!(
                "{line}\n  {verdict}\n  ours   {ours:?}\n  theirs {theirs:?}\n"
            ));
        }
    }
    assert_eq!(wrong, 0, "of {} templates:\n{told}", lines.len());
}
