//! What a module is given besides its arguments: modes, environment, time, a way to stop.
//!
//! [`Context::system`] is the one place that looks at the process's own environment. Never here:
//! anything a single module needs.

use crate::outcome::{Fault, fail};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use updraft_base::Timestamp;

/// Where interpreters are looked for beside `PATH`, which a login that is none may not have.
const INTERPRETERS: &[&str] = &["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin"];

/// The time of day, a steady clock and a way to let time pass.
pub trait Time: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment; never goes back.
    fn steady(&self) -> Duration;
    /// Lets `duration` pass.
    fn sleep(&self, duration: Duration);
    /// Local time as `strftime` writes it.
    fn local(&self, format: &str) -> String {
        self.now().to_zoned(jiff::tz::TimeZone::system()).strftime(format).to_string()
    }
}

/// The machine's own clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemTime {
    start: std::time::Instant,
}

#[expect(clippy::disallowed_methods, reason = "this is the real clock behind the seam")]
impl SystemTime {
    /// Starts the steady clock at zero.
    pub fn start() -> Self {
        Self { start: std::time::Instant::now() }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the real clock behind the seam")]
impl Time for SystemTime {
    fn now(&self) -> Timestamp {
        Timestamp::try_from(std::time::SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn steady(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// What a module is given besides its arguments.
#[derive(Clone)]
pub struct Context {
    /// Say what would change, change nothing.
    pub check: bool,
    /// Put a `diff` into the result.
    pub diff: bool,
    /// Nobody will look at more of the result than whether it changed something or failed.
    pub brief: bool,
    /// Where systemd answers, if it may be asked itself.
    pub manager: Option<PathBuf>,
    /// Extra environment for what the module runs, stronger than [`Context::inherited`].
    pub env: BTreeMap<String, String>,
    /// The environment the agent itself was started with.
    pub inherited: BTreeMap<String, String>,
    /// Clocks.
    pub time: Arc<dyn Time>,
    /// Set from outside to make the module stop and kill what it runs.
    pub cancel: Arc<AtomicBool>,
    /// Reading of [`Time::steady`] at which the module stops as if cancelled.
    pub deadline: Option<Duration>,
    /// Directory for files of passing interest, private to the user.
    pub staging: StagingDir,
}

/// A directory that is made when a module first asks where it is; most never do.
#[derive(Clone)]
pub struct StagingDir(Arc<LazyLock<PathBuf, Make>>);

type Make = Box<dyn FnOnce() -> PathBuf + Send>;

impl StagingDir {
    /// `make` returns the directory that it made.
    pub fn new(make: impl FnOnce() -> PathBuf + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(make))))
    }
}

impl From<PathBuf> for StagingDir {
    fn from(there: PathBuf) -> Self {
        Self::new(|| there)
    }
}

impl Deref for StagingDir {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Context {
    /// A context on the real machine: real clock, the process's environment, no deadline.
    pub fn system() -> Self {
        let inherited = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            check: false,
            diff: false,
            brief: false,
            manager: Some(PathBuf::from(crate::manager::SOCKET)),
            env: BTreeMap::new(),
            inherited,
            time: Arc::new(SystemTime::start()),
            cancel: Arc::default(),
            deadline: None,
            staging: PathBuf::from("/tmp").into(),
        }
    }

    /// Whether the module has to stop now.
    pub fn stopped(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
            || self.deadline.is_some_and(|deadline| self.time.steady() >= deadline)
    }

    /// An environment variable as modules and what they run see it.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.env.get(name).or_else(|| self.inherited.get(name)).map(String::as_str)
    }

    /// The local moment as Ansible stamps results: `2024-05-01 12:00:00.123456`.
    pub(crate) fn stamp(&self) -> String {
        self.time.local("%Y-%m-%d %H:%M:%S.%6f")
    }

    /// The moment in seconds since 1970.
    pub(crate) fn epoch(&self) -> f64 {
        self.time.now().as_duration().as_secs_f64()
    }

    /// Where programs are looked for, as Ansible does.
    fn dirs(&self) -> Vec<&str> {
        let path = self.var("PATH").unwrap_or("/usr/bin:/bin");
        let mut dirs: Vec<&str> = path.split(':').filter(|dir| !dir.is_empty()).collect();
        for more in ["/sbin", "/usr/sbin", "/usr/local/sbin"] {
            if !dirs.contains(&more) {
                dirs.push(more);
            }
        }
        dirs
    }

    /// The first of these interpreters that is there: paths, or names that are looked for.
    pub fn interpreter(&self, names: &[String]) -> Option<String> {
        let runs = |path: &Path| {
            path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
        };
        let path = self.var("PATH").unwrap_or_default().split(':');
        let dirs: Vec<&str> =
            path.chain(INTERPRETERS.iter().copied()).filter(|dir| !dir.is_empty()).collect();
        names.iter().find_map(|name| {
            if name.contains('/') {
                return runs(Path::new(name)).then(|| name.clone());
            }
            let mut places = dirs.iter().map(|dir| Path::new(dir).join(name));
            places.find(|path| runs(path)).map(|path| path.display().to_string())
        })
    }

    /// The full path of a program without which nothing can be done.
    pub(crate) fn required(&self, program: &str) -> Result<PathBuf, Fault> {
        self.program(program).ok_or_else(|| {
            let paths = self.dirs().join(":");
            fail!("Failed to find required executable \"{program}\" in paths: {paths}")
        })
    }

    /// Whether to fall back on `program`: its full path, searched as Ansible searches.
    pub(crate) fn program(&self, program: &str) -> Option<PathBuf> {
        self.dirs().into_iter().map(|dir| PathBuf::from(dir).join(program)).find(|file| {
            file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
        })
    }
}
