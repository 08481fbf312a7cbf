//! Every example, on simulated machines, killed at every line of its journal: the same command
//! again reaches the same end, with no machine doubled or left behind.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use camino::{Utf8Path, Utf8PathBuf};
use std::sync::Arc;
use updraft_base::{ByteSize, Clock, FixedClock};
use updraft_control::{CrashPlan, Outcome, Settings, ShapeChange, SiteControl, Status, StopSignal};

/// A place of its own for one story, with the example's groups moved to simulated machines.
struct Stage {
    dir: tempfile::TempDir,
    file: Utf8PathBuf,
}

/// In memory where there is such a place: hundreds of runs sync a journal at each line, and what a
/// power cut would do is not what these tests are about.
fn folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap()
}

fn examples() -> Vec<Utf8PathBuf> {
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut found: Vec<_> = root
        .read_dir_utf8()
        .unwrap()
        .map(|entry| entry.unwrap().path().join("updraft.yaml"))
        .filter(|file| file.exists())
        .map(|file| file.canonicalize_utf8().unwrap())
        .collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

impl Stage {
    fn of(example: &Utf8Path) -> Self {
        let dir = folder();
        let stage = Self {
            file: Utf8PathBuf::from_path_buf(dir.path().join("updraft.yaml")).unwrap(),
            dir,
        };
        let groups = stage.open_file(example, None).site().groups.clone();
        let mut text = format!("extends: {example}\ngroups:\n");
        for group in groups {
            text.push_str(&format!("  {}: {{ provider: sim }}\n", group.name));
        }
        std::fs::write(&stage.file, text).unwrap();
        stage
    }

    fn edit(&self, text: &str) {
        let before = std::fs::read_to_string(&self.file).unwrap();
        std::fs::write(&self.file, format!("{before}{text}")).unwrap();
    }

    fn reshape(&self, group: &str, shape: &str) {
        let before = std::fs::read_to_string(&self.file).unwrap();
        let line = format!("  {group}: {{ provider: sim }}");
        assert!(before.contains(&line), "{before}");
        let after = before.replace(&line, &format!("  {group}: {{ provider: sim, {shape} }}"));
        std::fs::write(&self.file, after).unwrap();
    }

    fn open(&self, crash_at: Option<CrashPlan>) -> SiteControl {
        self.open_file(&self.file, crash_at)
    }

    fn open_file(&self, file: &Utf8Path, crash_at: Option<CrashPlan>) -> SiteControl {
        let clock: Arc<dyn Clock> = Arc::new(FixedClock("2026-01-01T00:00:00Z".parse().unwrap()));
        let settings = Settings {
            home: None,
            store: self.dir.path().join("store"),
            runtime: self.dir.path().join("run"),
            user: "tester".to_owned(),
            login: "tester".to_owned(),
            remote_user: None,
            password: None,
            command: "updraft up".to_owned(),
            agent: None,
            clock,
            width: 4,
            crash_at,
            keep: None,
            ssh_auth_sock: None,
            module_path: Vec::new(),
            program: None,
            environment: Default::default(),
            roles_path: Vec::new(),
            config: Arc::default(),
            dialect: Default::default(),
            differences: None,
            vault: Arc::default(),
        };
        SiteControl::open(file, settings).unwrap()
    }

    /// `updraft up`, dying where it is told to. `None` when it died.
    async fn up(&self, crash_at: Option<CrashPlan>) -> Option<u64> {
        let control = self.open(crash_at);
        let change = control.take().unwrap();
        let stop = StopSignal::new();
        let resumed = change.resume(&stop, &mut |_| {}).await.ok()?;
        assert!(matches!(resumed, None | Some(Outcome::Done)), "{resumed:?}");
        let plan = change.plan_up().await.ok()?;
        if !plan.is_empty() {
            assert_eq!(change.run(plan, &stop, &mut |_| {}).await.ok()?, Outcome::Done);
        }
        Some(change.journal().lines_written())
    }

    async fn status(&self) -> Status {
        self.open(None).status().await.unwrap()
    }

    /// It stands as asked, and there is nothing left to do.
    async fn assert_done(&self, story: &str) {
        let status = self.status().await;
        assert!(status.ok, "{story}: {status:#?}");
        let wanted = self.open(None).machine_names().len();
        assert_eq!(status.machines.len(), wanted, "{story}: machines doubled or left behind");
        let plan = self.open(None).plan().await.unwrap();
        assert!(plan.is_empty(), "{story}: {}", updraft_control::render_plan(&plan));
    }
}

fn crashes(line: u64) -> [CrashPlan; 2] {
    [CrashPlan::before(line), CrashPlan::after(line)]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_example_comes_up_from_a_crash_at_any_line() {
    for example in examples() {
        let lines = Stage::of(&example).up(None).await.unwrap();
        assert!(lines > 10, "{example} writes only {lines} lines");
        for line in 1..=lines {
            for crash in crashes(line) {
                let stage = Stage::of(&example);
                let story = format!("{example}, {crash:?}");
                let died = stage.up(Some(crash)).await.is_none();
                assert!(died || line == lines, "{story}: it did not die");
                stage.up(None).await.unwrap();
                stage.assert_done(&story).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_and_then_another_site_file_leave_nothing_behind() {
    for example in examples().into_iter().filter(|e| e.as_str().ends_with("hello/updraft.yaml")) {
        let lines = Stage::of(&example).up(None).await.unwrap();
        for line in 1..=lines {
            let stage = Stage::of(&example);
            stage.up(Some(CrashPlan::after(line))).await;
            stage.edit("  extra: { provider: sim, image: debian, memory: 128MiB }\n");
            stage.up(None).await.unwrap();
            stage.assert_done(&format!("line {line}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_shape_survives_a_crash_at_any_line() {
    for example in examples().into_iter().filter(|e| e.as_str().ends_with("hello/updraft.yaml")) {
        let shaped = async |crash| {
            let stage = Stage::of(&example);
            stage.up(None).await.unwrap();
            let before = stage.open(None).memory().unwrap();
            stage.reshape("worker", "memory: 320MiB, cpus: 2, disk: 4GiB");
            let lines = stage.up(crash).await;
            (stage, before, lines)
        };
        let (_, _, lines) = shaped(None).await;
        let lines = lines.unwrap();
        assert!(lines > 10, "only {lines} lines");
        for line in 1..=lines {
            for crash in crashes(line) {
                let (stage, before, _) = shaped(Some(crash)).await;
                stage.up(None).await.unwrap();
                stage.assert_done(&format!("{crash:?}")).await;
                assert_eq!(stage.open(None).memory().unwrap(), before, "{crash:?}: made anew");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_resized_by_hand_is_drift_that_the_next_up_takes_back() {
    let hello = examples().into_iter().find(|e| e.as_str().ends_with("hello/updraft.yaml"));
    let stage = Stage::of(&hello.unwrap());
    stage.up(None).await.unwrap();
    let by_hand = async |memory: Option<u64>, disk: Option<u64>| {
        let control = stage.open(None);
        let change = control.take().unwrap();
        let shape = ShapeChange {
            memory: memory.map(ByteSize::mib),
            disk: disk.map(ByteSize::gib),
            cpus: None,
        };
        let name = "worker-2".parse().unwrap();
        let plan = change.plan_resize(&name, shape).await.unwrap();
        let ran = change.run(plan, &StopSignal::new(), &mut |_| {}).await.unwrap();
        assert_eq!(ran, Outcome::Done);
        control.said_otherwise(&name, shape).unwrap()
    };
    let said = by_hand(Some(512), None).await.unwrap();
    assert_eq!((said.says, said.shrinks), (vec!["memory: 256MiB".to_owned()], false));
    let plan = stage.open(None).plan().await.unwrap();
    assert_eq!(plan.changes[0].because, "resize: memory 512MiB → 256MiB (restart)");
    stage.up(None).await.unwrap();
    stage.assert_done("taken back").await;

    let said = by_hand(None, Some(9)).await.unwrap();
    assert!(said.shrinks);
    let error = stage.open(None).plan().await.unwrap_err();
    assert!(error.to_string().contains("a disk never shrinks"), "{error}");
    assert_eq!(updraft_base::Blamed::blame(&error), updraft_base::Blame::Asked);
    // Written into the site file, it is asked of the others, too.
    stage.reshape("worker", "disk: 9GiB");
    assert_eq!(by_hand(None, Some(9)).await, None);
    stage.up(None).await.unwrap();
    stage.assert_done("written into the site file").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_survives_a_crash_at_any_line() {
    for example in examples().into_iter().filter(|e| e.as_str().ends_with("hello/updraft.yaml")) {
        let prepare = async || {
            let stage = Stage::of(&example);
            stage.up(None).await.unwrap();
            stage.edit("services: { hello: { version: v2 } }\n");
            stage
        };
        let lines = prepare().await.up(None).await.unwrap();
        for line in 1..=lines {
            for crash in crashes(line) {
                let stage = prepare().await;
                stage.up(Some(crash)).await;
                stage.up(None).await.unwrap();
                stage.assert_done(&format!("{crash:?}")).await;
                let status = stage.status().await;
                let mut versions = status.machines.iter().flat_map(|m| m.services.values());
                assert!(versions.all(|service| service.version == "v2"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_is_told_who_has_the_site() {
    let stage = Stage::of(&examples()[0]);
    let (first, second) = (stage.open(None), stage.open(None));
    let held = first.take().unwrap();
    let error = second.take().err().unwrap().to_string();
    assert!(error.contains("updraft up") && error.contains("since"), "{error}");
    drop(held);
    second.take().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_plan_is_refused_when_the_world_moved() {
    let stage = Stage::of(&examples()[0]);
    let plan = stage.open(None).plan_to_save().await.unwrap();
    let text = updraft_control::plan_json(&plan);
    let saved = updraft_control::parse_plan(text.as_bytes()).unwrap();
    assert_eq!(saved, plan);
    let control = stage.open(None);
    let change = control.take().unwrap();
    change.check_saved(&saved).await.unwrap();
    let outcome = change.run(saved.plan.clone(), &StopSignal::new(), &mut |_| {}).await.unwrap();
    assert_eq!(outcome, Outcome::Done);
    let error = change.check_saved(&saved).await.unwrap_err().to_string();
    assert!(error.contains("machine") && error.contains("is new"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn destroy_leaves_nothing_after_a_crash_at_any_line() {
    let example = examples().remove(0);
    for line in 1..40 {
        let stage = Stage::of(&example);
        stage.up(None).await.unwrap();
        let died = destroy(&stage, Some(CrashPlan::after(line))).await.is_none();
        destroy(&stage, None).await.unwrap();
        assert!(!stage.dir.path().join(".updraft").exists());
        if !died {
            return;
        }
    }
    panic!("destroying never came to its end");
}

async fn destroy(stage: &Stage, crash_at: Option<CrashPlan>) -> Option<()> {
    let control = stage.open(crash_at);
    let change = control.take().unwrap();
    let plan = change.plan_destroy().await.ok()?;
    let outcome = change.run(plan, &StopSignal::new(), &mut |_| {}).await.ok()?;
    assert_eq!(outcome, Outcome::Done);
    change.forget_everything().await.ok()
}
