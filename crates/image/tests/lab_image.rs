//! Building a real image, with a mirror to fetch packages from.
//!
//! The store is kept under `target/lab-store`, so that later lab tests and later runs find it.

#![expect(clippy::unwrap_used, reason = "a test says so by failing")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use updraft_base::{Clock, Digest};
use updraft_host::{Cmd, Host, LocalHost, SystemClock};
use updraft_image::{Agent, Begun, Firmware, Format, ImageError, Origin, Place, Recipe, Store};

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

/// A disk of 4 MiB that a PC would try to boot.
fn disk(dir: &Path) -> PathBuf {
    let mut bytes: Vec<u8> = (0..4 << 20).map(|at: u32| (at / 512 % 251) as u8).collect();
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    let path = dir.join("disk.raw");
    std::fs::write(&path, bytes).unwrap();
    path
}

fn import(place: Place, format: Format, digest: Digest) -> Recipe {
    let firmware = Firmware::Bios;
    let origin = Origin::Import { import: place, format, digest, firmware };
    Recipe { name: "cloud".parse().unwrap(), origin }
}

fn digest(path: &Path) -> Digest {
    Digest::of(std::fs::read(path).unwrap())
}

async fn sh(dir: &Path, script: &str) {
    LocalHost.run(Cmd::new("sh").args(["-ec", script]).cwd(dir)).await.unwrap();
}

#[tokio::test]
async fn a_disk_is_taken_in_however_it_is_packed() {
    let dir = tempfile::tempdir_in(target()).unwrap();
    let store = store(&dir.path().join("store"));
    let agent = stand_in(dir.path()).await;
    let raw = disk(dir.path());
    sh(
        dir.path(),
        "gzip -k disk.raw; xz -k disk.raw; zstd -q disk.raw
         qemu-img convert -O qcow2 disk.raw disk.qcow2; cp disk.qcow2 box.img
         echo '{\"provider\":\"libvirt\",\"format\":\"qcow2\",\"virtual_size\":1}' > metadata.json
         echo 'Vagrant.configure(\"2\") { }' > Vagrantfile
         tar -czf disk.box ./metadata.json ./Vagrantfile ./box.img
         gzip -c disk.qcow2 > packed",
    )
    .await;
    for (name, format) in [
        ("disk.raw", Format::Detect),
        ("disk.raw.gz", Format::Detect),
        ("disk.raw.xz", Format::Raw),
        ("disk.raw.zst", Format::Detect),
        ("disk.qcow2", Format::Qcow2),
        ("packed", Format::Detect),
        ("disk.box", Format::Box),
    ] {
        let path = dir.path().join(name);
        let recipe = import(Place::File(path.clone()), format, digest(&path));
        let image = store.build(&recipe, &agent, &|_| ()).await.unwrap();
        assert_eq!(image.facts.firmware, Some(Firmware::Bios), "{name}");
        assert_eq!(image.facts.disk, updraft_base::ByteSize::mib(4), "{name}");
        let back = dir.path().join("back");
        let cmd = Cmd::new("qemu-img").args(["convert", "-f", "qcow2", "-O", "raw"]);
        LocalHost.run(cmd.arg(image.disk()).arg(&back)).await.unwrap();
        assert_eq!(digest(&back), digest(&raw), "{name}");
    }
    assert!(LocalHost.list(&store.root().join("tmp")).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_file_that_is_no_disk_or_shows_other_files_is_refused() {
    let dir = tempfile::tempdir_in(target()).unwrap();
    let store = store(&dir.path().join("store"));
    let agent = stand_in(dir.path()).await;
    disk(dir.path());
    sh(
        dir.path(),
        "echo 'KDMV is no disk of ours' > disk.vmdk
         qemu-img create -q -f qcow2 -F raw -b disk.raw overlay.qcow2
         qemu-img create -q -f qcow2 -o data_file=elsewhere.raw,data_file_raw=on data.qcow2 1M
         echo '{\"provider\":\"virtualbox\"}' > metadata.json; tar -cf other.box metadata.json",
    )
    .await;
    for (name, format, said) in [
        ("disk.vmdk", Format::Detect, "neither qcow2 nor a raw disk"),
        ("disk.raw", Format::Qcow2, "not qcow2"),
        ("overlay.qcow2", Format::Detect, "what differs from another one"),
        ("data.qcow2", Format::Detect, "keeps its data elsewhere"),
        ("other.box", Format::Box, "for virtualbox"),
        ("disk.raw", Format::Box, ""),
    ] {
        let path = dir.path().join(name);
        let recipe = import(Place::File(path.clone()), format, digest(&path));
        let error = store.build(&recipe, &agent, &|_| ()).await.unwrap_err();
        assert!(error.to_string().contains(said), "{name}: {error}");
    }
    let path = dir.path().join("disk.raw");
    let recipe = import(Place::File(path.clone()), Format::Detect, Digest::of("another"));
    let error = store.build(&recipe, &agent, &|_| ()).await.unwrap_err();
    assert!(error.to_string().contains(&digest(&path).to_string()), "{error}");
    assert!(store.list().await.unwrap().is_empty());
    assert!(LocalHost.list(&store.root().join("tmp")).await.unwrap().is_empty());
}

/// Serves a file, breaking the first answer off after `first` bytes. Tells what was asked for.
async fn serve(bytes: Vec<u8>, first: usize) -> (String, Arc<std::sync::Mutex<Vec<String>>>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/disk.raw", listener.local_addr().unwrap());
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut left = first;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let request = String::from_utf8(request).unwrap().to_lowercase();
            let range = request.lines().find_map(|line| line.strip_prefix("range: bytes="));
            let from: usize = range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap());
            told.lock().unwrap().push(range.unwrap_or("all").to_owned());
            let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
            let rest = bytes.len() - from;
            let content = match range.is_some() {
                true => {
                    format!("Content-Range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len())
                }
                false => String::new(),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {rest}\r\n{content}Connection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let end = if left > 0 { left } else { bytes.len() };
            left = 0;
            // Whoever has enough may hang up.
            drop(stream.write_all(&bytes[from..end]).await);
        }
    });
    (url, asked)
}

#[tokio::test]
async fn a_transfer_that_broke_off_is_gone_on_with() {
    let dir = tempfile::tempdir_in(target()).unwrap();
    let store = store(&dir.path().join("store"));
    let agent = stand_in(dir.path()).await;
    let raw = disk(dir.path());
    let (url, asked) = serve(std::fs::read(&raw).unwrap(), 1 << 20).await;
    let recipe = import(Place::Url(url), Format::Detect, digest(&raw));
    let error = store.build(&recipe, &agent, &|_| ()).await.unwrap_err();
    assert!(error.to_string().contains("fetching the file"), "{error}");
    assert!(store.list().await.unwrap().is_empty());
    store.build(&recipe, &agent, &|_| ()).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), ["all", "1048576-"]);
    assert!(LocalHost.list(&store.root().join("downloads")).await.unwrap().is_empty());
}

#[tokio::test]
async fn images_travel_in_one_file_that_is_compared_first() {
    let dir = tempfile::tempdir_in(target()).unwrap();
    let here = store(&dir.path().join("here"));
    let there = store(&dir.path().join("there"));
    let agent = stand_in(dir.path()).await;
    let raw = disk(dir.path());
    let recipe = import(Place::File(raw.clone()), Format::Detect, digest(&raw));
    let base = here.build(&recipe, &agent, &|_| ()).await.unwrap();
    let layer = Recipe {
        name: "web".parse().unwrap(),
        origin: Origin::Layer {
            below: base.digest,
            dressing: Digest::of("play"),
            packages: Vec::new(),
            play: None,
        },
    };
    let Begun::Draft(draft) = here.begin(&layer, &agent, &|_| ()).await.unwrap() else {
        panic!("nobody made it")
    };
    let overlay = draft.dir().join("overlay.qcow2");
    let create = Cmd::new("qemu-img").args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"]);
    LocalHost.run(create.arg(base.disk()).arg(&overlay)).await.unwrap();
    let write = Cmd::new("qemu-io").args(["-c", "write -P 7 1M 64k"]).arg(&overlay);
    LocalHost.run(write).await.unwrap();
    let web = draft.publish_layer(&base, &overlay, 0, Vec::new()).await.unwrap();

    let file = dir.path().join("web.images");
    here.export(web.digest, &file).await.unwrap();
    let taken = there.import(&file).await.unwrap();
    let digests: Vec<_> = taken.iter().map(|taken| (taken.image.digest, taken.known)).collect();
    assert_eq!(digests, [(base.digest, false), (web.digest, false)]);
    // The layer finds the disk below it in the other store.
    let check = Cmd::new("qemu-io").args(["-r", "-c", "read -P 7 1M 64k", "-c", "read 2M 64k"]);
    let read = LocalHost.run(check.arg(taken[1].image.disk())).await.unwrap().text();
    assert!(!read.contains("failed"), "{read}");
    assert!(there.import(&file).await.unwrap().iter().all(|taken| taken.known));

    // Changed, cut off, and naming a file outside.
    let whole = std::fs::read(&file).unwrap();
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    let fresh = store(&dir.path().join("fresh"));
    for bad in [changed, whole[..middle].to_vec(), b"no archive".to_vec()] {
        std::fs::write(&file, bad).unwrap();
        let error = fresh.import(&file).await.unwrap_err();
        assert!(matches!(error, ImageError::Bundle { .. }), "{error}");
        assert!(fresh.list().await.unwrap().is_empty());
    }
    assert!(LocalHost.list(&fresh.root().join("tmp")).await.unwrap().is_empty());
}
