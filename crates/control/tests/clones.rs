//! Snapshots and clones of simulated machines, killed at every line of the journal: the same
//! command again comes to the same end, and `up` has nothing to do after it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use camino::Utf8PathBuf;
use std::sync::Arc;
use updraft_base::{Clock, FixedClock, Timestamp, unix_nanos};
use updraft_control::{
    CloneWish, CrashPlan, Outcome, Plan, Settings, SiteControl, SnapshotWish, StopSignal,
};
use updraft_provider::sim::{SimWorld, Tempo};

const NOW: Timestamp = Timestamp::constant(1_767_225_600, 0);

const SITE: &str = "\
site: small
domain: small.test
networks: { lan: { cidr: 10.77.0.0/24 } }
images:
  debian: { bootstrap: bookworm }
groups:
  web: { image: debian, provider: sim, memory: 128MiB }
";

struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    /// A site that is up.
    async fn up() -> Self {
        let memory = std::path::Path::new("/dev/shm");
        let dir = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap();
        std::fs::write(dir.path().join("updraft.yaml"), SITE).unwrap();
        let stage = Self { dir };
        let control = stage.open(None);
        let change = control.take().unwrap();
        let plan = change.plan_up().await.unwrap();
        let outcome = change.run(plan, &StopSignal::new(), &mut |_| {}).await.unwrap();
        assert_eq!(outcome, Outcome::Done);
        drop(change);
        stage
    }

    fn open(&self, crash_at: Option<CrashPlan>) -> SiteControl {
        let clock: Arc<dyn Clock> = Arc::new(FixedClock(NOW));
        let settings = Settings {
            home: None,
            store: self.dir.path().join("store"),
            runtime: self.dir.path().join("run"),
            user: "tester".to_owned(),
            login: "tester".to_owned(),
            remote_user: None,
            password: None,
            command: "updraft machine".to_owned(),
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
        let file = Utf8PathBuf::from_path_buf(self.dir.path().join("updraft.yaml")).unwrap();
        SiteControl::open(&file, settings).unwrap()
    }

    /// Clones `web-1`, dying where it is told to. `None` when it died; otherwise whether there was
    /// anything to do.
    async fn clone(&self, live: bool, crash_at: Option<CrashPlan>) -> Option<bool> {
        let control = self.open(crash_at);
        let change = control.take().unwrap();
        let wish = CloneWish {
            of: "web-1".parse().unwrap(),
            name: Some("twin".parse().unwrap()),
            count: 1,
            live,
        };
        match change.plan_clone(&wish).await {
            Ok(plan) => {
                let ran = change.run(plan, &StopSignal::new(), &mut |_| {}).await.ok()?;
                assert_eq!(ran, Outcome::Done);
                Some(true)
            }
            Err(error) => {
                assert!(error.to_string().contains("`twin` already"), "{error}");
                Some(false)
            }
        }
    }

    async fn run(&self, plan: Plan) {
        let control = self.open(None);
        let change = control.take().unwrap();
        let ran = change.run(plan, &StopSignal::new(), &mut |_| {}).await.unwrap();
        assert_eq!(ran, Outcome::Done);
    }

    async fn machines(&self) -> Vec<String> {
        let status = self.open(None).status().await.unwrap();
        let mut all: Vec<String> =
            status.machines.iter().map(|m| format!("{} {}", m.name, m.state)).collect();
        all.sort();
        all
    }

    fn clocks(&self) -> Vec<i64> {
        let kept = self.dir.path().join(".updraft/sim.json");
        let machines = SimWorld::kept_in(kept, Tempo::INSTANT).machines().unwrap();
        machines.iter().map(|machine| machine.disk.clock).collect()
    }

    async fn assert_nothing_to_do(&self, story: &str) {
        let plan = self.open(None).plan().await.unwrap();
        assert!(plan.is_empty(), "{story}: {}", updraft_control::render_plan(&plan));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_is_made_once_wherever_we_are_killed() {
    for live in [false, true] {
        let mut deaths = 0;
        for line in 1..100 {
            let stage = Stage::up().await;
            let died = stage.clone(live, Some(CrashPlan::after(line))).await.is_none();
            let story = format!("live {live}, killed at line {line}");
            if died {
                deaths += 1;
                stage.clone(live, None).await.unwrap();
            }
            assert_eq!(stage.machines().await, ["twin running", "web-1 running"], "{story}");
            stage.assert_nothing_to_do(&story).await;
            if !died {
                break;
            }
        }
        assert!((5..99).contains(&deaths), "it died {deaths} times");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_of_a_clone_is_finished_or_taken_away_by_up() {
    for line in 1..100 {
        let stage = Stage::up().await;
        let died = stage.clone(true, Some(CrashPlan::after(line))).await.is_none();
        let plan = stage.open(None).plan().await.unwrap();
        if !plan.is_empty() {
            stage.run(plan).await;
        }
        let left = stage.machines().await;
        let whole = left == ["twin running", "web-1 running"] || left == ["web-1 running"];
        assert!(whole, "killed at line {line}: {left:?}");
        stage.assert_nothing_to_do(&format!("killed at line {line}")).await;
        if !died {
            return;
        }
    }
    panic!("cloning never came to its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_goes_back_to_what_it_was_and_the_oldest_snapshot_goes() {
    let stage = Stage::up().await;
    for _ in 0..3 {
        let control = stage.open(None);
        let change = control.take().unwrap();
        let wish = SnapshotWish { label: Some("daily".to_owned()), memory: false, keep: Some(2) };
        let plan = change.plan_snapshot("web-1", wish).await.unwrap();
        assert!(!plan.destroys(), "nobody has to be asked");
        drop(change);
        stage.run(plan).await;
    }
    let there = stage.open(None).snapshots(None).await.unwrap();
    assert_eq!(there.len(), 2, "{there:?}");
    let control = stage.open(None);
    let change = control.take().unwrap();
    let error = change.plan_revert("web-1", "daily").await.unwrap_err().to_string();
    assert!(error.contains(&there[0].name) && error.contains(&there[1].name), "{error}");
    let plan = change.plan_revert("web-1", "last").await.unwrap();
    assert!(plan.destroys(), "what it wrote since is lost, so somebody is asked");
    drop(change);
    stage.run(plan).await;
    assert_eq!(stage.machines().await, ["web-1 running"]);
    stage.assert_nothing_to_do("after it went back").await;
    let clocks = stage.clocks();
    let right = |shows: &i64| shows.abs_diff(unix_nanos(NOW)) < 100_000_000;
    assert!(!clocks.is_empty() && clocks.iter().all(right), "{clocks:?}");
    let control = stage.open(None);
    let change = control.take().unwrap();
    let plan = change.plan_destroy().await.unwrap();
    assert!(updraft_control::render_plan(&plan).contains("all its snapshots"));
}
