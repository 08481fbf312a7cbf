//! Building a real image, with a mirror to fetch packages from.
//!
//! The store is kept under `target/lab-store`, so that later lab tests and later runs find it.

#![expect(clippy::unwrap_used, reason = "a test says so by failing")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use updraft_base::Clock;
use updraft_host::{Cmd, Host, LocalHost, SystemClock};
use updraft_image::{Agent, Recipe, Store};

fn target() -> PathBuf {
    // target/debug/deps/<this test>
    let exe = std::env::current_exe().unwrap();
    exe.ancestors().nth(3).unwrap().to_owned()
}

fn recipe(name: &str, packages: &[&str]) -> Recipe {
    Recipe::bootstrap(name.parse().unwrap(), "bookworm", packages)
}

fn store(root: &Path) -> Store {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    Store::new(root, Arc::new(LocalHost), clock)
}

/// Any static program will do where nothing is booted.
async fn stand_in(dir: &Path) -> Agent {
    let binary = dir.join("agent");
    std::fs::write(&binary, b"\x7fELF stands in for the agent").unwrap();
    Agent::load(&LocalHost, &binary).await.unwrap()
}

#[tokio::test]
async fn an_image_is_built_once_by_whoever_comes_first() {
    let store = store(&target().join("lab-store"));
    let dir = tempfile::tempdir().unwrap();
    let agent = stand_in(dir.path()).await;
    let recipe = recipe("lab", &[]);
    let digest = recipe.digest(&agent);
    store.remove(digest).await.unwrap();
    let told = std::sync::Mutex::new(Vec::new());
    let progress = |line: &str| {
        println!("{line}");
        told.lock().unwrap().push(line.to_owned());
    };
    let (one, two) = tokio::join!(
        store.build(&recipe, &agent, &progress),
        store.build(&recipe, &agent, &progress)
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one, two);
    assert_eq!(one.digest, digest);
    let told = told.into_inner().unwrap();
    assert_eq!(told.iter().filter(|line| line.starts_with("image lab is ready")).count(), 1);
    assert!(told.iter().any(|line| line.starts_with("waiting for the same image")), "{told:?}");
    assert!(LocalHost.list(&store.root().join("tmp")).await.unwrap().is_empty());

    // What is inside, looked at without mounting it.
    let raw = dir.path().join("raw");
    let convert = Cmd::new("qemu-img").args(["convert", "-O", "raw"]).arg(one.disk()).arg(&raw);
    LocalHost.run(convert).await.unwrap();
    let cat = async |path: &str| {
        let asked = Cmd::new("debugfs").args(["-R", &format!("cat {path}")]).arg(&raw);
        LocalHost.run(asked).await.unwrap().text()
    };
    assert!(cat("/usr/lib/updraft/updraft-agent").await.contains("stands in"));
    assert_eq!(cat("/etc/machine-id").await, "");
    let list = Cmd::new("debugfs").args(["-R", "ls -p /etc/ssh"]).arg(&raw);
    let ssh = LocalHost.run(list).await.unwrap().text();
    assert!(ssh.contains("sshd_config"), "{ssh}");
    assert!(!ssh.contains("ssh_host_"), "{ssh}");
    let shadow = cat("/etc/shadow").await;
    assert!(shadow.lines().any(|line| line.starts_with("root:*:")), "root has a password");
    // It stays, and with it the installed packages, from which the lab's guests are made next.
}

#[tokio::test]
async fn a_package_that_does_not_exist_is_one_clear_error() {
    let dir = tempfile::tempdir_in(target()).unwrap();
    let store = store(&dir.path().join("store"));
    let agent = stand_in(dir.path()).await;
    let recipe = recipe("lab", &["no-such-package-anywhere"]);
    let error = store.build(&recipe, &agent, &|_| ()).await.unwrap_err();
    assert!(error.to_string().contains("no-such-package-anywhere"), "{error}");
    assert!(store.list().await.unwrap().is_empty());
    assert!(LocalHost.list(&store.root().join("tmp")).await.unwrap().is_empty());
}
