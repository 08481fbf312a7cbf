//! The site file and play that `updraft init` writes.
//!
//! They are what a first site needs and no more: one network, one image, one group with a play.
//! Never here: writing files.

use updraft_base::SiteName;

/// The play that the starter site file names: its path beside the file, and its text.
const PLAYS: &[(&str, &str)] = &[("plays/web.yaml", include_str!("starter/web.yaml"))];

/// A commented site file to start from. It loads once the files of [`starter_plays`] are beside it.
pub fn starter(name: &SiteName) -> String {
    include_str!("starter/updraft.yaml").replace("@site@", name.as_str())
}

/// The files that a starter site file names: each a path relative to it, and the text.
pub fn starter_plays() -> &'static [(&'static str, &'static str)] {
    PLAYS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemorySource, load};

    fn source(text: String) -> MemorySource {
        let source = MemorySource::default().with("here/updraft.yaml", text);
        starter_plays()
            .iter()
            .fold(source, |source, (path, text)| source.with(format!("here/{path}"), *text))
    }

    fn named(name: &str) -> SiteName {
        name.parse().unwrap()
    }

    #[test]
    fn the_starter_loads_under_any_name() {
        for name in ["hello", "a", "9", "true", "null", "1e3", "0x1", "a-b"] {
            let site = match load("here/updraft.yaml".into(), &source(starter(&named(name)))) {
                Ok(site) => site,
                Err(faults) => panic!("{}", faults.render(false, 100)),
            };
            assert_eq!(site.name.as_str(), name);
            assert_eq!(site.groups.len(), 1);
            assert_eq!(site.groups[0].play.as_deref(), Some("here/plays/web.yaml".into()));
        }
    }

    #[test]
    fn what_the_starter_comments_out_loads_too() {
        // A commented key has no space or several after its `#`; prose has one.
        let is_key =
            |rest: &str| !rest.is_empty() && (!rest.starts_with(' ') || rest.starts_with("  "));
        let uncommented: String = starter(&named("hello"))
            .lines()
            .map(|line| line.strip_prefix('#').filter(|rest| is_key(rest)).unwrap_or(line))
            .map(|line| format!("{line}\n"))
            .collect();
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
        let source = source(uncommented)
            .with("/home/ops/.ssh/id_ed25519.pub", key)
            .with("here/plays/hello.yaml", "[]")
            .at_home("/home/ops");
        let site = match load("here/updraft.yaml".into(), &source) {
            Ok(site) => site,
            Err(faults) => panic!("{}", faults.render(false, 100)),
        };
        assert_eq!((site.admins.len(), site.services.len()), (1, 1));
    }
}
