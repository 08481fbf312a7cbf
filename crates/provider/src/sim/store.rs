//! A simulated world in a file, so that a rehearsal goes on over several commands.
//!
//! The file is a log: each change appends what is new of the machine or network as one line of
//! JSON, and the last line about a thing counts. A change is one write under the file's lock, and
//! a line that was cut off by a crash is as if it had never been. An empty world has no file.

use super::world::World;
use crate::{NetworkOrder, ProviderError, TemplateOrder};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use updraft_base::{Blame, Digest, MachineId, NetworkName, SiteId};

use super::machine::SimMachine;

/// First line of the file.
const HEADER: &str = "{\"updraft\":\"simulated world\",\"version\":1}\n";

/// Dead lines that are put up with before the file is written anew.
const SLACK: usize = 1_000;

/// One line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Machine(Box<SimMachine>),
    MachineGone { machine: MachineId },
    Network { site: SiteId, order: NetworkOrder, intact: bool },
    NetworkGone { site: SiteId, name: NetworkName },
    Unhealthy { versions: BTreeSet<String> },
    Template { order: TemplateOrder },
    TemplateGone { template: Digest },
}

/// Whether a transaction may change the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// It only looks; a world without a file stays without.
    Look,
    /// It may change something.
    Change,
}

/// Where the world is kept, and how much of it was read.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    /// The file that was read, and up to where.
    known: Option<(u64, u64)>,
    lines: usize,
}

/// The file, locked. Closing it gives the lock back.
pub(super) struct Locked {
    file: File,
    inode: u64,
}

impl Store {
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path, known: None, lines: 0 }
    }

    /// Whether `world` as it was left is what the file says: nothing was appended since, and the
    /// file is the same. Changes only ever append, so one look without the lock is enough.
    pub(super) fn is_current(&self) -> bool {
        let (Some((inode, end)), Ok(meta)) = (self.known, std::fs::metadata(&self.path)) else {
            return false;
        };
        meta.ino() == inode && meta.len() == end
    }

    /// Locks the file and brings `world` up to what it says. `None`: there is no file, and the
    /// world is empty.
    pub(super) fn begin(
        &mut self,
        world: &mut World,
        access: Access,
    ) -> Result<Option<Locked>, ProviderError> {
        loop {
            let Some(file) = self.open(access)? else {
                *world = World::default();
                self.known = None;
                return Ok(None);
            };
            // Whoever holds it is in the middle of one change, which takes no time to speak of.
            flock(&file, FlockOperation::LockExclusive)
                .map_err(|errno| self.fault("lock", errno.into()))?;
            let meta = file.metadata().map_err(|error| self.fault("look at", error))?;
            // Removed or replaced while we waited: what we locked is nobody's world any more.
            let current = match std::fs::metadata(&self.path) {
                Ok(now) => now.ino() == meta.ino(),
                Err(error) if error.kind() == ErrorKind::NotFound => false,
                Err(error) => return Err(self.fault("look at", error)),
            };
            if !current {
                continue;
            }
            let mut locked = Locked { file, inode: meta.ino() };
            self.read(&mut locked, world, meta.len())?;
            let live = world.machines.len() + world.networks.len();
            if self.lines > 2 * live + SLACK {
                self.rewrite(world)?;
                continue;
            }
            return Ok(Some(locked));
        }
    }

    /// Appends what changed. The world of a file that was emptied loses its file.
    pub(super) fn commit(
        &mut self,
        locked: Locked,
        world: &mut World,
    ) -> Result<(), ProviderError> {
        let lines = world.take_changes();
        if world.is_empty() {
            self.known = None;
            return match std::fs::remove_file(&self.path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    Err(self.fault("remove", error))
                }
                _ => Ok(()),
            };
        }
        if lines.is_empty() {
            return Ok(());
        }
        let Locked { mut file, inode } = locked;
        let text = render(&lines);
        let end = self.known.map_or(0, |(_, end)| end);
        let written = file.seek(SeekFrom::Start(end)).and_then(|_| file.write_all(text.as_bytes()));
        if let Err(error) = written {
            // Half a line is no line, but it must not stand in the way of the next one.
            drop(file.set_len(end));
            self.known = None;
            return Err(self.fault("write", error));
        }
        self.known = Some((inode, end + text.len() as u64));
        self.lines += lines.len();
        Ok(())
    }

    fn open(&self, access: Access) -> Result<Option<File>, ProviderError> {
        let existing = File::options().read(true).write(true).open(&self.path);
        match (existing, access) {
            (Ok(file), _) => Ok(Some(file)),
            (Err(error), Access::Look) if error.kind() == ErrorKind::NotFound => Ok(None),
            (Err(error), Access::Change) if error.kind() == ErrorKind::NotFound => {
                if let Some(dir) = self.path.parent().filter(|dir| !dir.exists()) {
                    std::fs::DirBuilder::new()
                        .recursive(true)
                        .mode(0o700)
                        .create(dir)
                        .map_err(|error| self.fault("make the folder of", error))?;
                }
                File::options()
                    .read(true)
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .mode(0o600)
                    .open(&self.path)
                    .map(Some)
                    .map_err(|error| self.fault("make", error))
            }
            (Err(error), _) => Err(self.fault("open", error)),
        }
    }

    /// Reads what was appended since the last time, or everything when the file is another one.
    fn read(
        &mut self,
        locked: &mut Locked,
        world: &mut World,
        length: u64,
    ) -> Result<(), ProviderError> {
        let mut from = match self.known {
            Some((inode, end)) if inode == locked.inode && end <= length => end,
            _ => 0,
        };
        if from == length && from > 0 {
            return Ok(());
        }
        let mut text = String::new();
        locked
            .file
            .seek(SeekFrom::Start(from))
            .and_then(|_| locked.file.read_to_string(&mut text))
            .map_err(|error| self.fault("read", error))?;
        if from == 0 {
            *world = World::default();
            self.lines = 0;
        }
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut rest = &text[..whole];
        if from == 0 && !rest.is_empty() {
            rest = rest.strip_prefix(HEADER).ok_or_else(|| self.damaged("its first line"))?;
        }
        for part in parse(rest) {
            for line in part.map_err(|error| self.damaged(&error.to_string()))? {
                world.apply(line);
                self.lines += 1;
            }
        }
        from += whole as u64;
        if from < length {
            // Cut off by a crash.
            locked.file.set_len(from).map_err(|error| self.fault("mend", error))?;
        }
        if from == 0 {
            let written = locked
                .file
                .seek(SeekFrom::Start(0))
                .and_then(|_| locked.file.write_all(HEADER.as_bytes()));
            written.map_err(|error| self.fault("write", error))?;
            from = HEADER.len() as u64;
        }
        self.known = Some((locked.inode, from));
        Ok(())
    }

    /// Puts a file without dead lines in the place of the old one, whose lock is held.
    fn rewrite(&mut self, world: &World) -> Result<(), ProviderError> {
        let beside = self.path.with_extension("new");
        let lines = world.lines();
        let text = HEADER.to_owned() + &render(&lines);
        let written = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| std::fs::rename(&beside, &self.path));
        self.known = None;
        written.map_err(|error| self.fault("write", error))
    }

    fn fault(&self, act: &str, error: std::io::Error) -> ProviderError {
        ProviderError::new(
            Blame::World,
            format!("cannot {act} the simulated world `{}`", self.path.display()),
        )
        .because(error)
    }

    fn damaged(&self, where_: &str) -> ProviderError {
        let path: &Path = &self.path;
        ProviderError::new(
            Blame::World,
            format!("the simulated world `{}` is damaged: {where_}", path.display()),
        )
        .hinting("remove the file to begin with an empty world")
    }
}

/// Less text than this is not worth another thread: it is parsed in a few milliseconds.
const PART: usize = 1 << 20;

/// The lines of a text, in parts that each processor read at the same time.
fn parse(text: &str) -> Vec<serde_json::Result<Vec<Line>>> {
    let parse = |part: &str| part.lines().map(serde_json::from_str).collect();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let length = (text.len() / processors).max(PART);
    std::thread::scope(|scope| {
        let mut others = Vec::new();
        let mut rest = text;
        while rest.len() > length {
            let end = rest.as_bytes()[length..].iter().position(|byte| *byte == b'\n');
            let Some(end) = end else { break };
            let (part, after) = rest.split_at(length + end + 1);
            others.push(scope.spawn(move || parse(part)));
            rest = after;
        }
        let last = parse(rest);
        let panicked = "parsing returns its errors";
        let others = others.into_iter().map(|part| part.join().expect(panicked));
        others.chain([last]).collect()
    })
}

fn render(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(&serde_json::to_string(line).expect("a line has only text keys"));
        text.push('\n');
    }
    text
}
