//! What Updraft needs on this computer, and everything it keeps here.

use crate::place::Place;
use crate::settings::Settings;
use crate::store::about;
use crate::world::absolute;
use serde::Serialize;
use std::path::Path;
use std::time::Duration;
use updraft_base::ByteSize;
use updraft_host::{Cmd, Host, LocalHost, package_of};

/// Everything found.
#[derive(Clone, Debug, Serialize)]
pub struct Doctor {
    /// What was checked.
    pub checks: Vec<Check>,
    /// Where Updraft keeps things.
    pub places: Vec<Kept>,
}

/// One thing that was checked.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What.
    pub what: String,
    /// It is as it should be.
    pub ok: bool,
    /// Without it something of Updraft does not work at all.
    pub needed: bool,
    /// What was found.
    pub found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A place where Updraft keeps things.
#[derive(Clone, Debug, Serialize)]
pub struct Kept {
    /// Path.
    pub path: String,
    /// What is there.
    pub what: String,
    /// Room it takes; absent when it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
}

/// Programs, what asks them for their version, and what they are for.
const PROGRAMS: &[(&str, &[&str], &str)] = &[
    ("qemu-system-x86_64", &["--version"], "runs guests"),
    ("qemu-img", &["--version"], "makes disks"),
    ("mmdebstrap", &["--version"], "builds images"),
    ("mke2fs", &["-V"], "makes the filesystem of images"),
    ("nft", &["--version"], "gives guests a way out"),
    ("ip", &["-V"], "makes bridges and taps"),
    ("ssh", &["-V"], "reaches hosts as the user configured it"),
];

/// Below this an image and a few guests do not fit.
const ROOM_WANTED: ByteSize = ByteSize::gib(4);

/// Looks at this computer.
pub async fn doctor(settings: &Settings, site_file: Option<&Path>) -> Doctor {
    let mut checks = Vec::new();
    for (program, ask, why) in PROGRAMS {
        checks.push(program_check(program, ask, why).await);
    }
    let root = rustix::process::geteuid().is_root();
    checks.push(Check {
        what: "root".to_owned(),
        ok: root,
        needed: false,
        found: if root { "yes" } else { "no" }.to_owned(),
        hint: (!root).then(|| "guests need a bridge: run through sudo".to_owned()),
    });
    checks.push(kvm());
    checks.push(way_out().await);
    checks.push(Check {
        what: "agent".to_owned(),
        ok: settings.agent.is_some(),
        needed: true,
        found: settings.agent.as_ref().map_or_else(
            || "not in this updraft".to_owned(),
            |agent| format!("{} bytes, in this updraft", agent.bytes().len()),
        ),
        hint: settings.agent.is_none().then(|| "build with `make build`".to_owned()),
    });
    checks.push(room(&settings.store).await);
    let mut places = vec![
        kept(&settings.store, "images and the agent, shared by all sites"),
        kept(&settings.runtime, "sockets of running guests"),
    ];
    if let Some(site_file) = site_file {
        let place = Place::beside(site_file);
        places.push(kept(
            &absolute(place.root().to_owned()),
            "state, journal and disks of this site",
        ));
    }
    Doctor { checks, places }
}

async fn program_check(program: &str, ask: &[&str], why: &str) -> Check {
    let asked = Cmd::new(program).args(ask.iter()).within(Duration::from_secs(10)).accept_all();
    match LocalHost.run(asked).await {
        Ok(output) => {
            let said = if output.stdout.is_empty() { output.stderr_tail() } else { output.text() };
            Check {
                what: program.to_owned(),
                ok: true,
                needed: true,
                found: said.lines().next().unwrap_or_default().trim().to_owned(),
                hint: None,
            }
        }
        Err(_) => Check {
            what: program.to_owned(),
            ok: false,
            needed: true,
            found: format!("not found; it {why}"),
            hint: package_of(program).map(|package| format!("apt-get install {package}")),
        },
    }
}

fn kvm() -> Check {
    let open = std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok();
    let found = match open {
        true => "opens; the first guest proves whether it works",
        false => "not there; guests are emulated, which is about ten times slower",
    };
    Check { what: "kvm".to_owned(), ok: open, needed: false, found: found.to_owned(), hint: None }
}

/// Whether guests get out of this computer.
async fn way_out() -> Check {
    let found = updraft_qemu::barriers(&LocalHost).await;
    let barriers = found.unwrap_or_default();
    let names: Vec<String> = barriers.iter().map(|barrier| format!("`{barrier}`")).collect();
    let remedies: Vec<String> = barriers.iter().map(updraft_qemu::Barrier::remedy).collect();
    Check {
        what: "guests' way out".to_owned(),
        ok: barriers.is_empty(),
        needed: false,
        found: match barriers.is_empty() {
            true => "no firewall here stops it".to_owned(),
            false => format!("the firewall's chain {} drops what guests send", names.join(", ")),
        },
        hint: (!barriers.is_empty()).then(|| format!("let them pass: {}", remedies.join("; "))),
    }
}

async fn room(store: &Path) -> Check {
    let there = store.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let free = LocalHost.free_space(there).await;
    let (ok, found) = match free {
        Ok(free) => (free >= ROOM_WANTED, format!("{} free", about(free))),
        Err(error) => (false, updraft_base::chain(&error)),
    };
    Check {
        what: "room for images".to_owned(),
        ok,
        needed: true,
        found,
        hint: (!ok).then(|| format!("make {ROOM_WANTED} free at {}", there.display())),
    }
}

fn kept(path: &Path, what: &str) -> Kept {
    let size = path.exists().then(|| about(ByteSize::bytes(room_of(path))));
    Kept { path: path.display().to_string(), what: what.to_owned(), size }
}

/// Bytes that a file or folder takes on disk; what cannot be read counts as nothing.
fn room_of(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(meta) = std::fs::symlink_metadata(path) else { return 0 };
    // POSIX: st_blocks counts in 512 bytes, whatever the filesystem's own blocks are.
    let own = meta.blocks() * 512;
    if !meta.is_dir() {
        return own;
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    own + entries.map(|entry| room_of(&entry.path())).sum::<u64>()
}
