//! Where a site keeps what it must remember: `.updraft` beside `updraft.yaml`, `.updraft-prod`
//! beside `prod.yaml`, so that environments in one folder never mistake each other's machines.

use std::path::{Path, PathBuf};
use updraft_base::{MachineId, RunId};

/// Paths of one site's state.
#[derive(Clone, Debug)]
pub struct Place {
    root: PathBuf,
}

impl Place {
    /// The place of the site whose file this is.
    pub fn beside(site_file: &Path) -> Self {
        let folder = site_file.parent().filter(|parent| !parent.as_os_str().is_empty());
        let name = match site_file.file_stem().and_then(|stem| stem.to_str()) {
            None | Some("updraft") => ".updraft".to_owned(),
            Some(other) => format!(".updraft-{other}"),
        };
        Self { root: folder.unwrap_or(Path::new(".")).join(name) }
    }

    /// The folder itself, mode 0700.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// State and journal, one SQLite file.
    pub fn journal(&self) -> PathBuf {
        self.root.join("state.db")
    }

    /// Held by the one run that may change the site.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// What guests need while they run.
    pub fn guests(&self) -> PathBuf {
        self.root.join("guests")
    }

    /// Held by whoever talks to a machine's agent.
    pub fn channel_lock(&self, id: MachineId) -> PathBuf {
        self.root.join("channels").join(id.tail())
    }

    /// Held by whoever is at a machine's console.
    pub fn console_lock(&self, id: MachineId) -> PathBuf {
        self.root.join("channels").join(format!("{}.console", id.tail()))
    }

    /// Host keys of the site's machines, for `ssh`.
    pub fn known_hosts(&self) -> PathBuf {
        self.root.join("known_hosts")
    }

    /// Configuration for `ssh`.
    pub fn ssh_config(&self) -> PathBuf {
        self.root.join("ssh_config")
    }

    /// The simulated provider's world.
    pub fn sim(&self) -> PathBuf {
        self.root.join("sim.json")
    }

    /// What plays printed during a run.
    pub fn play_log(&self, run: RunId, step: u32) -> PathBuf {
        self.root.join("logs").join(run.to_string()).join(format!("{step}.txt"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_in_one_folder_have_a_state_of_their_own() {
        let root = |file: &str| Place::beside(Path::new(file)).root().to_owned();
        assert_eq!(root("updraft.yaml"), Path::new("./.updraft"));
        assert_eq!(root("sites/prod.yaml"), Path::new("sites/.updraft-prod"));
        assert_ne!(root("sites/prod.yaml"), root("sites/test.yaml"));
    }
}
