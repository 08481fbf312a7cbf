//! The same as `crash`, with real processes that are really killed and a journal on a real disk.
//!
//! Without the standard harness: the program calls itself with `child` as the one that is killed.

#![expect(
    clippy::disallowed_methods,
    reason = "it starts itself, and `host` is not below `engine`"
)]

use async_trait::async_trait;
use serde_json::{Value, json};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use updraft_base::{Digest, FixedClock, RunId, SeededChance, Timestamp};
use updraft_engine::{
    Actor, Attempt, CrashPlan, Journal, Options, Outcome, RunEnd, RunStart, Step, StepContext,
    StepFault, StepId, StopSignal, Work, run,
};

/// Each step makes a file that must not be there at a first attempt.
struct Files(PathBuf);

#[async_trait]
impl Actor for Files {
    async fn act(
        &self,
        step: &Step,
        attempt: Attempt,
        _: &StepContext,
    ) -> Result<Value, StepFault> {
        let path = self.0.join(step.id.to_string());
        tokio::task::yield_now().await;
        match std::fs::File::create_new(&path) {
            Ok(_) => Ok(json!("made")),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
                assert_eq!(attempt, Attempt::Again, "step {} was done blindly", step.id);
                Ok(json!("found"))
            }
        }
    }

    async fn undo(&self, _: &Step, _: &StepContext) -> Result<(), StepFault> {
        unreachable!("nothing fails here")
    }
}

fn work() -> Work {
    let step = |id: u32| Step {
        id: StepId(id),
        key: format!("step/{id}"),
        title: format!("do {id}"),
        subject: None,
        after: if id < 2 { Vec::new() } else { vec![StepId(0), StepId(1)] },
        lane: None,
        undo: false,
        spec: Value::Null,
    };
    Work::new("test", Digest::of("basis"), (0..6).map(step).collect()).expect("the work is sound")
}

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().expect("it is a time")
}

fn run_id() -> RunId {
    RunId::draw(now(), &mut SeededChance::new(1))
}

/// Does the run of the journal in `dir`, from whatever is left of it.
fn go(dir: &Path, plan: Option<CrashPlan>) {
    let journal = Journal::open(&dir.join("journal.db")).expect("the journal opens");
    if let Some(plan) = plan {
        journal.plan_crash(plan);
    }
    if journal.runs(1).expect("it reads").is_empty() {
        let start = RunStart {
            id: run_id(),
            command: "updraft up".to_owned(),
            who: "ops".to_owned(),
            at: now(),
        };
        journal.begin_run(&start, &work()).expect("it writes");
    }
    let Some(left) = journal.unfinished_run().expect("it reads") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let outcome = runtime
        .block_on(run(
            &journal,
            left.run.id,
            &left.work,
            &Files(dir.to_owned()),
            &Options::new(2, Arc::new(FixedClock(now()))),
            &StopSignal::new(),
            &mut |_| (),
        ))
        .expect("the journal holds");
    assert_eq!(outcome, Outcome::Done);
}

/// Kills a child at the line of `plan` and takes its run up; returns whether it was killed.
fn kill_and_resume(plan: &str) -> bool {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let me = std::env::current_exe().expect("we run from a file");
    let status = Command::new(me)
        .arg("child")
        .arg(dir.path())
        .arg(plan)
        .status()
        .expect("we start once more");
    // 9 is SIGKILL.
    let killed = status.signal() == Some(9);
    assert!(killed || status.success(), "{plan}: the child ended with {status}");
    go(dir.path(), None);
    let journal = Journal::open(&dir.path().join("journal.db")).expect("the journal opens");
    let run = journal.run_summary(run_id()).expect("the run is there");
    assert_eq!(run.outcome, Some(RunEnd::Done), "{plan}");
    for step in 0..6 {
        assert!(dir.path().join(step.to_string()).exists(), "{plan}: step {step} is lost");
    }
    killed
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [child, dir, plan] = &args[..]
        && child == "child"
    {
        go(Path::new(dir), Some(plan.parse().expect("the parent knows the form")));
        return;
    }
    let mut lines = 0;
    for line in 1.. {
        let killed = ["before", "after"].map(|side| kill_and_resume(&format!("{side}:{line}")));
        assert_eq!(killed[0], killed[1], "line {line}");
        if !killed[0] {
            break;
        }
        lines = line;
    }
    // One to begin, a start and an end for each of six steps, one to end.
    assert_eq!(lines, 14, "not every line was tried");
}
