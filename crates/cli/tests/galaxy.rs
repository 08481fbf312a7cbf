//! `updraft galaxy install` and `ansible-galaxy`, with archives and folders that lie here.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![expect(clippy::disallowed_methods, reason = "a test starts the binary itself")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use updraft_base::Digest;

/// A folder with roles and collections in several forms, and a requirements file for them.
struct Shelf {
    dir: tempfile::TempDir,
}

const REQUIREMENTS: &str = "\
roles:
  - {src: ./web, name: web}
  - {src: ./db-1.0.tar.gz, name: db, version: '1.0'}
collections:
  - {name: ./acme, type: dir}
";

impl Shelf {
    fn new() -> Self {
        let shelf = Self { dir: tempfile::tempdir().unwrap() };
        shelf.write("web/tasks/main.yml", "- debug: {msg: web}\n");
        shelf.write("db-1.0/meta/main.yml", "dependencies: []\n");
        shelf.write("db-1.0/tasks/main.yml", "- debug: {msg: db}\n");
        shelf.pack("db-1.0.tar.gz", &["db-1.0"], ".");
        shelf.write("acme/galaxy.yml", "{namespace: acme, name: tools, version: 1.2.3}\n");
        shelf.write("acme/plugins/modules/hammer.py", "#\n");
        shelf.write("requirements.yml", REQUIREMENTS);
        shelf
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    fn pack(&self, archive: &str, names: &[&str], within: &str) {
        let mut tar = Command::new("tar");
        tar.arg("-czf").arg(self.path(archive)).arg("-C").arg(self.path(within)).args(names);
        assert!(tar.status().unwrap().success());
    }

    /// An archive of a collection as `ansible-galaxy collection build` makes it, whose list names
    /// `said` as the content of its README.
    fn built(&self, archive: &str, said: &str) {
        let sum = |text: &str| Digest::of(text.as_bytes()).to_string();
        let files = serde_json::json!({"files": [
            {"name": ".", "ftype": "dir", "chksum_type": null, "chksum_sha256": null},
            {"name": "README.md", "ftype": "file", "chksum_type": "sha256", "chksum_sha256": sum(said)},
        ], "format": 1})
        .to_string();
        let manifest = serde_json::json!({
            "collection_info": {"namespace": "acme", "name": "built", "version": "2.0.0", "dependencies": {}},
            "file_manifest_file": {"name": "FILES.json", "chksum_sha256": sum(&files)},
            "format": 1,
        });
        self.write("build/README.md", "what is in it\n");
        self.write("build/FILES.json", &files);
        self.write("build/MANIFEST.json", &manifest.to_string());
        self.pack(archive, &["README.md", "FILES.json", "MANIFEST.json"], "build");
    }

    fn run(&self, program: &Path, args: &[&str]) -> Output {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.path("home"))
            .env("PATH", "/usr/bin:/bin")
            .current_dir(self.dir.path())
            .args(args);
        command.output().unwrap()
    }

    /// Runs a command that must end with this code; returns both outputs.
    fn ends(&self, code: i32, args: &[&str]) -> (String, String) {
        let output = self.run(Path::new(env!("CARGO_BIN_EXE_updraft")), args);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{err}");
        (out, err)
    }
}

const INSTALL: &[&str] =
    &["galaxy", "install", "-r", "requirements.yml", "-p", "roles", "--collections-path", "here"];

#[test]
fn roles_and_collections_come_from_folders_and_archives_once() {
    let shelf = Shelf::new();
    let (_, told) = shelf.ends(0, INSTALL);
    for line in ["role web: installed", "role db 1.0: installed", "acme.tools 1.2.3: installed"] {
        assert!(told.contains(line), "{told}");
    }
    let read = |name: &str| std::fs::read_to_string(shelf.path(name)).unwrap();
    assert!(read("roles/web/tasks/main.yml").contains("web"));
    assert!(read("roles/db/tasks/main.yml").contains("db"));
    let tools = shelf.path("here/ansible_collections/acme/tools");
    assert!(tools.join("plugins/modules/hammer.py").exists());
    // A second run does nothing, and leaves what was changed by hand.
    shelf.write("roles/web/tasks/main.yml", "[]\n");
    let (out, _) = shelf.ends(0, &[INSTALL, &["--json"]].concat());
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    let all = told["installed"].as_array().unwrap();
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|one| one["already"] == true), "{told}");
    assert_eq!(read("roles/web/tasks/main.yml"), "[]\n");
    shelf.ends(0, &[INSTALL, &["--force"]].concat());
    assert!(read("roles/web/tasks/main.yml").contains("web"));
    let left: Vec<_> = std::fs::read_dir(shelf.path("roles")).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn an_archive_whose_sums_are_wrong_is_refused_whole() {
    let shelf = Shelf::new();
    let install = ["galaxy", "install", "-c", "./c.tar.gz", "--collections-path", "here"];
    shelf.built("c.tar.gz", "something else\n");
    let (_, told) = shelf.ends(2, &install);
    assert!(told.contains("`README.md` is not the file that its manifest names"), "{told}");
    assert!(!shelf.path("here/ansible_collections/acme").exists());
    shelf.built("c.tar.gz", "what is in it\n");
    shelf.ends(0, &install);
    assert!(shelf.path("here/ansible_collections/acme/built/README.md").exists());
}

#[test]
fn what_leads_out_of_an_archive_is_refused() {
    let shelf = Shelf::new();
    shelf.write("evil/tasks/main.yml", "[]\n");
    std::os::unix::fs::symlink("../../../etc", shelf.path("evil/files")).unwrap();
    shelf.pack("evil.tar.gz", &["evil"], ".");
    let (_, told) = shelf.ends(2, &["galaxy", "install", "./evil.tar.gz,,evil", "-p", "roles"]);
    assert!(told.contains("leads out of it"), "{told}");
    assert!(!shelf.path("roles/evil").exists());
}

#[test]
fn ansible_galaxy_installs_what_its_command_is_for() {
    let shelf = Shelf::new();
    let program = shelf.path("ansible-galaxy");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_updraft"), &program).unwrap();
    let run = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let output = shelf.run(&program, &words);
        assert!(output.status.success(), "{line}: {output:?}");
    };
    run("role install -r requirements.yml -p r1");
    assert!(shelf.path("r1/web").is_dir() && !shelf.path("home").exists());
    run("collection install -r requirements.yml -p c1");
    assert!(shelf.path("c1/ansible_collections/acme/tools").is_dir());
    assert!(!shelf.path("home/.ansible/roles").exists());
    // Without a word for what, both are meant.
    run("install -r requirements.yml");
    assert!(shelf.path("home/.ansible/roles/db").is_dir());
    assert!(shelf.path("home/.ansible/collections/ansible_collections/acme/tools").is_dir());
    run("collection install ./acme -p c2");
    assert!(shelf.path("c2/ansible_collections/acme/tools").is_dir());
}
