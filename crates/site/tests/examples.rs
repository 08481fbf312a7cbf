//! The examples that come with Updraft load as they are.

use camino::{Utf8Path, Utf8PathBuf};
use std::io;
use updraft_site::{Source, load};

struct Disk;

impl Source for Disk {
    fn read(&self, path: &Utf8Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn exists(&self, path: &Utf8Path) -> bool {
        path.is_file()
    }

    fn home(&self) -> Option<Utf8PathBuf> {
        None
    }
}

#[test]
fn every_example_loads() {
    let examples = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut found = 0;
    for example in examples.read_dir_utf8().unwrap() {
        if let Err(faults) = load(&example.unwrap().path().join("updraft.yaml"), &Disk) {
            panic!("{}", faults.render(false, 100));
        }
        found += 1;
    }
    assert!(found > 0, "no examples in {examples}");
}
