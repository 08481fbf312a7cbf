//! The journal keeps what it was told, whole or not at all.

use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use updraft_base::{Blame, Blamed as _, Chance as _, Digest, RunId, SeededChance, Timestamp};
use updraft_engine::{
    CrashPlan, Journal, JournalError, KEPT_RUNS, RunEnd, RunStart, Step, StepId, Work,
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).expect("a second of this century")
}

fn run_id(seed: u64) -> RunId {
    RunId::draw(at(0), &mut SeededChance::new(seed))
}

fn start(seed: u64) -> RunStart {
    RunStart {
        id: run_id(seed),
        command: "updraft up".to_owned(),
        who: "ops".to_owned(),
        at: at(i64::try_from(seed).expect("seeds are small")),
    }
}

fn work(steps: u32) -> Work {
    let steps = (0..steps)
        .map(|id| Step {
            id: StepId(id),
            key: format!("machine/worker-{id}/create"),
            title: format!("create worker-{id}"),
            subject: Some(format!("worker-{id}")),
            after: Vec::new(),
            lane: None,
            undo: true,
            spec: json!({"memory": "256MiB", "number": id}),
        })
        .collect();
    Work::new("up hello", Digest::of("site"), steps).expect("the work is sound")
}

struct Place {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let path = dir.path().join(".updraft").join("journal.db");
    Place { _dir: dir, path }
}

#[test]
fn the_journal_and_its_directory_are_for_their_owner_only() {
    let place = place();
    let journal = Journal::open(&place.path).unwrap();
    journal.state_put("site/id", &json!("x")).unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let dir = place.path.parent().unwrap();
    assert_eq!(mode(dir), 0o700);
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn state_outlives_the_journal_that_wrote_it() {
    let place = place();
    assert!(Journal::open_read(&place.path).unwrap().is_none(), "it was made by a read");
    let journal = Journal::open(&place.path).unwrap();
    journal.state_put("machine/b", &json!({"n": 2})).unwrap();
    journal.state_put("machine/a", &json!(1)).unwrap();
    journal.state_put("machine0", &json!("beyond the prefix")).unwrap();
    journal.state_put("machin", &json!("before the prefix")).unwrap();
    journal.state_put("machine/a", &json!({"n": 1})).unwrap();
    drop(journal);
    let journal = Journal::open_read(&place.path).unwrap().unwrap();
    assert_eq!(journal.state_get("machine/b").unwrap(), Some(json!({"n": 2})));
    assert_eq!(journal.state_get::<Value>("machine/c").unwrap(), None);
    let error = journal.state_get::<u32>("machine/b").unwrap_err();
    assert!(matches!(error, JournalError::Nonsense { .. }), "taken for a number: {error}");
    assert_eq!(
        journal.state_all("machine/").unwrap(),
        [("machine/a".to_owned(), json!({"n": 1})), ("machine/b".to_owned(), json!({"n": 2}))]
    );
    assert_eq!(journal.state_all("").unwrap().len(), 4);
    let error = journal.state_put("x", &json!(0)).unwrap_err();
    assert_eq!(error.blame(), Blame::World, "a journal opened for reading was written: {error}");
}

#[test]
fn reading_works_beside_a_writer_and_sees_what_it_committed() {
    let place = place();
    let writer = Journal::open(&place.path).unwrap();
    writer.state_put("a", &json!(1)).unwrap();
    let reader = Journal::open_read(&place.path).unwrap().unwrap();
    assert_eq!(reader.state_get("a").unwrap(), Some(json!(1)));
    writer.state_put("a", &json!(2)).unwrap();
    assert_eq!(reader.state_get("a").unwrap(), Some(json!(2)));
}

#[test]
fn a_state_transaction_is_kept_whole_or_not_at_all() {
    let journal = Journal::in_memory().unwrap();
    journal.state_put("a", &json!(1)).unwrap();
    journal.state_put("b", &json!(1)).unwrap();
    let failed: Result<(), JournalError> = journal.state_write(|state| {
        state.put("a", &json!(2))?;
        state.forget("b")?;
        assert_eq!(state.get("a")?, Some(json!(2)), "a write is not seen by the read after it");
        assert_eq!(state.all("")?.len(), 1);
        Err(JournalError::Crashed)
    });
    assert!(failed.is_err());
    assert_eq!(journal.state_get("a").unwrap(), Some(json!(1)));
    assert_eq!(journal.state_get("b").unwrap(), Some(json!(1)));
    journal.state_forget("b").unwrap();
    journal.state_forget("b").unwrap();
    assert_eq!(journal.state_get::<Value>("b").unwrap(), None);
}

#[test]
fn a_crash_before_the_commit_loses_the_line_and_one_after_keeps_it() {
    for (plan, kept) in [(CrashPlan::before(2), None), (CrashPlan::after(2), Some(json!(2)))] {
        let place = place();
        let journal = Journal::open(&place.path).unwrap();
        journal.plan_crash(plan);
        journal.state_put("a", &json!(1)).unwrap();
        assert!(matches!(journal.state_put("b", &json!(2)), Err(JournalError::Crashed)));
        assert!(
            matches!(journal.state_get::<Value>("a"), Err(JournalError::Crashed)),
            "it lives on"
        );
        drop(journal);
        let journal = Journal::open(&place.path).unwrap();
        assert_eq!(journal.state_get("a").unwrap(), Some(json!(1)));
        assert_eq!(journal.state_get("b").unwrap(), kept);
    }
}

#[test]
fn a_run_is_known_with_all_its_work_from_the_moment_it_begins() {
    let place = place();
    Journal::open(&place.path).unwrap().begin_run(&start(1), &work(3)).unwrap();
    let journal = Journal::open(&place.path).unwrap();
    let left = journal.unfinished_run().unwrap().unwrap();
    assert_eq!(left.work, work(3));
    assert_eq!((left.run.id, left.run.outcome), (run_id(1), None));
    assert_eq!((left.run.command.as_str(), left.run.started), ("updraft up", at(1)));
    assert!(left.records.is_empty());
}

#[test]
fn a_new_run_waits_until_the_one_before_it_is_over() {
    let journal = Journal::in_memory().unwrap();
    journal.begin_run(&start(1), &work(1)).unwrap();
    let error = journal.begin_run(&start(2), &work(1)).unwrap_err();
    assert!(matches!(error, JournalError::Unfinished(left) if left == run_id(1)));
    journal.abandon(run_id(1), "the site file changed", at(9)).unwrap();
    journal.begin_run(&start(2), &work(1)).unwrap();
    let runs = journal.runs(10).unwrap();
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [run_id(2), run_id(1)]);
    assert_eq!(runs[1].outcome, Some(RunEnd::Abandoned));
    assert_eq!(runs[1].why.as_deref(), Some("the site file changed"));
    assert!(matches!(journal.abandon(run_id(1), "again", at(9)), Err(JournalError::Over(_))));
    assert!(matches!(journal.abandon(run_id(3), "", at(9)), Err(JournalError::NoSuchRun(_))));
}

#[test]
fn old_runs_lose_their_details_and_keep_their_line() {
    let journal = Journal::in_memory().unwrap();
    let runs = u64::from(KEPT_RUNS) + 3;
    for seed in 0..runs {
        journal.begin_run(&start(seed), &work(1)).unwrap();
        journal.abandon(run_id(seed), "enough", at(9)).unwrap();
    }
    assert_eq!(journal.runs(u32::MAX).unwrap().len() as u64, runs);
    for seed in 0..3 {
        assert_eq!(journal.run_work(run_id(seed)).unwrap(), None, "run {seed}");
    }
    for seed in [3, runs - 1] {
        assert!(journal.run_work(run_id(seed)).unwrap().is_some(), "run {seed}");
    }
}

#[test]
fn a_journal_of_a_newer_updraft_is_refused() {
    let place = place();
    drop(Journal::open(&place.path).unwrap());
    let raw = rusqlite::Connection::open(&place.path).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    for error in [Journal::open(&place.path).err(), Journal::open_read(&place.path).err()] {
        let error = error.expect("it was opened");
        assert!(matches!(error, JournalError::Newer { found: 99, .. }), "{error}");
        assert!(error.hint().is_some());
    }
}

#[test]
fn a_file_of_something_else_is_left_alone() {
    let place = place();
    std::fs::create_dir_all(place.path.parent().unwrap()).unwrap();
    let raw = rusqlite::Connection::open(&place.path).unwrap();
    raw.execute_batch("CREATE TABLE recipes (name TEXT)").unwrap();
    drop(raw);
    assert!(matches!(Journal::open(&place.path), Err(JournalError::Foreign { .. })));
    let before = b"this is no database, and long enough to be looked at".repeat(40);
    std::fs::write(&place.path, &before).unwrap();
    let error = Journal::open(&place.path).unwrap_err();
    assert_eq!(error.blame(), Blame::World, "{error}");
    assert_eq!(std::fs::read(&place.path).unwrap(), before);
}

#[test]
fn a_journal_whose_maker_died_at_once_is_made_again() {
    let place = place();
    std::fs::create_dir_all(place.path.parent().unwrap()).unwrap();
    std::fs::write(&place.path, "").unwrap();
    let journal = Journal::open_read(&place.path).unwrap().unwrap();
    assert_eq!(journal.runs(1).unwrap(), []);
}

#[test]
fn two_processes_may_make_the_journal_at_once() {
    let place = place();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let path = &place.path;
            scope.spawn(move || {
                let journal = Journal::open(path).unwrap();
                journal.state_put(&format!("n/{number}"), &json!(number)).unwrap();
            });
        }
    });
    let journal = Journal::open_read(&place.path).unwrap().unwrap();
    assert_eq!(journal.state_all("n/").unwrap().len(), 8);
}

#[test]
fn a_journal_is_made_when_nobody_else_makes_it_any_more() {
    // Something that takes a tenth of a second, in which the other process is seen to be at it.
    const LONG: &str =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500000)
        SELECT count(*) FROM n";
    let place = place();
    std::fs::create_dir_all(place.path.parent().unwrap()).unwrap();
    std::fs::write(&place.path, "").unwrap();
    let other = rusqlite::Connection::open(&place.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        let made = scope.spawn(|| Journal::open(&place.path).map(drop));
        let count: u32 = other.query_row(LONG, [], |row| row.get(0)).unwrap();
        assert_eq!(count, 500_000);
        other.execute_batch("ROLLBACK").unwrap();
        made.join().unwrap().unwrap();
    });
}

#[test]
fn random_keys_are_found_by_their_prefix_whatever_they_contain() {
    let mut chance = SeededChance::new(3);
    let journal = Journal::in_memory().unwrap();
    let letters = ["a", "ä", "%", "_", "\u{10ffff}", "/", "*", "\0"];
    let mut word = |length: u64| {
        (0..length)
            .map(|_| letters[chance.below(letters.len() as u64) as usize])
            .collect::<String>()
    };
    let keys: std::collections::BTreeSet<String> = (0..200).map(|n| word(1 + n % 4)).collect();
    journal
        .state_write(|state| {
            keys.iter().try_for_each(|key| state.put(key, &Value::Null))?;
            Ok::<_, JournalError>(())
        })
        .unwrap();
    for prefix in &keys {
        let found: Vec<String> =
            journal.state_all(prefix).unwrap().into_iter().map(|(key, _)| key).collect();
        let wanted: Vec<&String> = keys.iter().filter(|key| key.starts_with(prefix)).collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "prefix {prefix:?}");
    }
}

#[test]
fn a_damaged_journal_is_an_error_and_never_a_panic() {
    let place = place();
    let journal = Journal::open(&place.path).unwrap();
    for seed in 0..5 {
        journal.begin_run(&start(seed), &work(30)).unwrap();
        journal.abandon(run_id(seed), "enough", at(9)).unwrap();
        journal.state_put(&format!("n/{seed}"), &json!({ "some": "thing" })).unwrap();
    }
    journal.begin_run(&start(9), &work(30)).unwrap();
    drop(journal);
    let whole = std::fs::read(&place.path).unwrap();
    let mut chance = SeededChance::new(4);
    let (mut refused, mut noticed) = (0, 0);
    for _ in 0..400 {
        let mut damaged = whole.clone();
        for _ in 0..1 + chance.below(8) {
            let at = usize::try_from(chance.below(whole.len() as u64)).unwrap();
            damaged[at] = u8::try_from(chance.below(256)).unwrap();
        }
        if chance.below(4) == 0 {
            damaged.truncate(usize::try_from(chance.below(whole.len() as u64)).unwrap());
        }
        std::fs::write(&place.path, &damaged).unwrap();
        let read = Journal::open_read(&place.path);
        let Ok(Some(journal)) = read else {
            refused += 1;
            continue;
        };
        let read = [
            journal.runs(10).err(),
            journal.unfinished_run().err(),
            journal.run_work(run_id(3)).err(),
            journal.run_records(run_id(3)).err(),
            journal.state_all("").err(),
        ];
        noticed += usize::from(read.iter().any(Option::is_some));
    }
    assert!(refused > 10 && noticed > 10, "{refused} refused, {noticed} noticed");
}
