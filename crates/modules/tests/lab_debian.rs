//! Modules that need root, apt, accounts and systemd's unit files, in a throw-away Debian.
//!
//! Needs root, mmdebstrap, unshare and a package mirror the first time; the base system is kept
//! below the build directory. Inside, packages come from a small repository made here, so nothing
//! is fetched. The test program starts itself again inside the chroot and answers there, one
//! request a line.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by panicking")]
#![expect(clippy::print_stdout, reason = "a test program without the standard harness")]

use serde_json::{Map, Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use updraft_modules::{Context, facts, run};

fn main() {
    if std::env::args().nth(1).as_deref() == Some("inside") {
        return inside();
    }
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let booted: &[(&str, Story)] = &[
        ("services_run_under_a_real_systemd", running_services),
        ("filesystems_are_mounted_now_and_after_a_boot", mounts),
        ("packets_are_let_in_and_kept_out", packets),
    ];
    let stories: &[(&str, Story)] = &[
        ("packages_are_installed_upgraded_and_removed", packages),
        ("a_run_that_changes_nothing_starts_no_program", nothing_is_started),
        ("package_files_policies_and_leftovers_are_handled", leftovers),
        ("groups_and_users_come_change_and_go", accounts),
        ("services_are_enabled_without_a_running_systemd", services),
        ("names_settings_and_entries_are_kept", settings),
        ("sources_jobs_and_what_is_there_are_known", sources),
        ("alternatives_and_time_zones_come_and_go", surroundings),
        ("locales_are_generated_where_they_are_listed", locales),
        ("others_may_read_what_a_list_says", lists),
        ("targets_are_made_that_are_not_up_to_date", targets),
        ("keys_are_made_and_keep_what_they_are", keys),
        ("packages_of_node_come_with_their_versions", node),
        ("projects_of_php_get_what_they_need", php),
        ("images_hold_filesystems_grow_and_are_blank_again", images),
        ("groups_of_volumes_get_and_lose_devices", groups),
        ("volumes_grow_at_once_and_shrink_by_force", volumes),
    ];
    for (name, story) in stories {
        if filter.as_deref().is_none_or(|filter| name.contains(filter)) {
            story(&mut Debian::start());
            println!("test {name} ... ok");
        }
    }
    for (name, story) in booted {
        if filter.as_deref().is_none_or(|filter| name.contains(filter)) {
            story(&mut Debian::boot());
            println!("test {name} ... ok");
        }
    }
}

type Story = fn(&mut Debian);

/// Answers requests from standard input, inside the chroot.
fn inside() {
    for line in std::io::stdin().lines() {
        let request: Map<String, Value> = serde_json::from_str(&line.unwrap()).unwrap();
        let mut context = Context::system();
        context.check = request["check"].as_bool().unwrap();
        context.diff = true;
        let args = request["args"].as_object().unwrap();
        let answer = match request["module"].as_str().unwrap() {
            "facts" => facts(&[]),
            module => run(module, args, &context).0,
        };
        println!("{}", Value::Object(answer));
    }
}

/// A Debian of our own.
struct Debian {
    child: Child,
    answers: BufReader<ChildStdout>,
    /// The namespaces systemd runs in; everything in them ends with this process.
    init: Option<Child>,
    root: tempfile::TempDir,
}

#[expect(clippy::disallowed_methods, reason = "tests drive programs outside the workspace")]
fn tool(program: &str, args: &[&str]) {
    let ran = Command::new(program).args(args).stdin(Stdio::null()).output();
    let ran = ran.unwrap_or_else(|error| panic!("needs {program}: {error}"));
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{program} {args:?}: {said}");
}

/// The base system, made once.
fn base() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let tar = dir.join("bookworm-firewall.tar");
    if !tar.exists() {
        let part = dir.join("bookworm-firewall.part.tar");
        let include = "--include=systemd,openssh-client,acl,iptables,procps,ufw";
        tool(
            "mmdebstrap",
            &["--quiet", "--variant=apt", include, "bookworm", part.to_str().unwrap()],
        );
        fs::rename(part, &tar).unwrap();
    }
    tar
}

impl Debian {
    /// Unpacks the base system.
    fn unpack() -> tempfile::TempDir {
        let base = base();
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let dir = root.path().to_str().unwrap();
        tool("tar", &["-C", dir, "-xf", base.to_str().unwrap()]);
        fs::copy(std::env::current_exe().unwrap(), root.path().join("lab")).unwrap();
        root
    }

    /// A system in which nothing runs.
    fn start() -> Self {
        let root = Self::unpack();
        repository(root.path());
        let mut namespaces = vec!["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork"];
        namespaces.extend(["--kill-child", "--"]);
        let mut debian = Self::enter(root, &namespaces, None);
        let updated = debian.run("apt", json!({ "update_cache": true }));
        assert!(updated.get("failed").is_none(), "{updated:?}");
        debian
    }

    /// A system that systemd runs, in namespaces of its own.
    #[expect(clippy::disallowed_methods, reason = "tests drive programs outside the workspace")]
    fn boot() -> Self {
        const SCRIPT: &str = "set -e; cd \"$1\"; mount --bind . .; cd \"$1\"
            mount -t proc proc proc; mount -t sysfs sysfs sys; mount -t tmpfs tmpfs run
            mount -t tmpfs tmpfs tmp; mount -t cgroup2 cgroup2 sys/fs/cgroup
            exec chroot . /lib/systemd/systemd --system --log-target=null";
        let root = Self::unpack();
        for unit in ["getty.target", "console-getty.service"] {
            let link = root.path().join("etc/systemd/system").join(unit);
            std::os::unix::fs::symlink("/dev/null", link).unwrap();
        }
        let dir = root.path().to_str().unwrap().to_owned();
        let init = Command::new("unshare")
            .args(["--mount", "--uts", "--ipc", "--net", "--cgroup", "--pid", "--fork"])
            .args(["--kill-child", "--", "sh", "-c", SCRIPT, "sh", &dir])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("container", "lab")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("needs root and unshare");
        let children = format!("/proc/{0}/task/{0}/children", init.id());
        let pid = Self::patiently("systemd starts", || {
            let text = fs::read_to_string(&children).ok()?;
            let pid = text.split_whitespace().next()?.to_owned();
            let comm = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            (comm.trim() == "systemd").then_some(pid)
        });
        let namespaces =
            ["nsenter", "-t", &pid, "--mount", "--uts", "--ipc", "--net", "--pid", "--"];
        let mut debian = Self::enter(root, &namespaces, Some(init));
        Self::patiently("systemd is up", || {
            let said = debian.run("command", json!({ "cmd": "systemctl is-system-running" }));
            matches!(said["stdout"].as_str(), Some("running" | "degraded")).then_some(())
        });
        debian
    }

    /// Waits for something to become true, half a minute at most.
    #[expect(clippy::disallowed_methods, reason = "a bounded wait for a condition")]
    fn patiently<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        for _ in 0..300 {
            if let Some(seen) = look() {
                return seen;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("waited half a minute until {what}");
    }

    #[expect(clippy::disallowed_methods, reason = "tests drive programs outside the workspace")]
    fn enter(root: tempfile::TempDir, namespaces: &[&str], init: Option<Child>) -> Self {
        let dir = root.path().to_str().unwrap();
        let mut child = Command::new(namespaces[0])
            .args(&namespaces[1..])
            .args(["chroot", dir, "/lab", "inside"])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("needs root and unshare");
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, answers, init, root }
    }

    fn ask(&mut self, module: &str, args: Value, check: bool) -> Map<String, Value> {
        let line = format!("{}\n", json!({ "module": module, "args": args, "check": check }));
        self.child.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("no answer to {line}: {answer}"))
    }

    fn run(&mut self, module: &str, args: Value) -> Map<String, Value> {
        self.ask(module, args, false)
    }

    /// Check mode promises a change and makes none, then it is made, and then there is none.
    #[track_caller]
    fn changes(&mut self, module: &str, args: Value) -> Map<String, Value> {
        for (check, changed) in [(true, true), (true, true), (false, true), (false, false)] {
            let answer = self.ask(module, args.clone(), check);
            assert_eq!(answer.get("failed"), None, "{args} {answer:?}");
            assert_eq!(answer["changed"], changed, "check={check} {args} {answer:?}");
            if !check && changed {
                let again = self.ask(module, args.clone(), true);
                assert_eq!(again["changed"], false, "checked again: {args} {again:?}");
                let second = self.ask(module, args.clone(), false);
                assert_eq!(second["changed"], false, "{args} {second:?}");
                return answer;
            }
        }
        unreachable!("the third round returns")
    }

    #[track_caller]
    fn stays(&mut self, module: &str, args: Value) -> Map<String, Value> {
        let answer = self.run(module, args.clone());
        assert_eq!(answer.get("failed"), None, "{args} {answer:?}");
        assert_eq!(answer["changed"], false, "{args} {answer:?}");
        answer
    }

    #[track_caller]
    fn fails(&mut self, module: &str, args: Value, message: &str) {
        let answer = self.run(module, args.clone());
        assert_eq!(answer.get("failed"), Some(&true.into()), "{args} {answer:?}");
        let said = answer["msg"].as_str().unwrap();
        assert!(said.contains(message), "{said}");
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    /// Puts a stand-in for a program in place.
    fn program(&self, path: &str, script: &str) {
        fs::write(self.path(path), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn version(&mut self, package: &str) -> Option<String> {
        let format = "-f=${db:Status-Abbrev} ${Version}";
        let answer = self.run("command", json!({ "argv": ["dpkg-query", "-W", format, package] }));
        let said = answer["stdout"].as_str()?;
        said.strip_prefix("ii  ").map(str::to_owned)
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
        if let Some(init) = &mut self.init {
            drop(init.kill());
            drop(init.wait());
        }
    }
}

/// A repository of small packages at `/repo`, and nothing else for apt to ask.
fn repository(root: &Path) {
    let repo = root.join("repo");
    fs::create_dir(&repo).unwrap();
    let mut index = String::new();
    for (name, version, more, conffile) in [
        ("alpha", "1.0", "Provides: vee", false),
        ("alpha", "2.0-1", "Provides: vee", false),
        ("beta", "1.0", "Depends: alpha", false),
        ("gamma", "1:3", "Recommends: delta", true),
        ("delta", "1", "", false),
    ] {
        let tree = tempfile::tempdir().unwrap();
        fs::set_permissions(tree.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(tree.path().join("DEBIAN")).unwrap();
        let more = if more.is_empty() { String::new() } else { format!("{more}\n") };
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: lab <lab@example.invalid>\n{more}"
        );
        fs::write(tree.path().join("DEBIAN/control"), format!("{control}Description: lab\n"))
            .unwrap();
        if conffile {
            fs::create_dir(tree.path().join("etc")).unwrap();
            fs::write(tree.path().join(format!("etc/{name}.conf")), "x\n").unwrap();
            fs::write(tree.path().join("DEBIAN/conffiles"), format!("/etc/{name}.conf\n")).unwrap();
        }
        let file = format!("{name}_{}.deb", version.replace(':', "_"));
        let deb = repo.join(&file);
        let tree = tree.path().to_str().unwrap();
        tool("dpkg-deb", &["--root-owner-group", "-Znone", "-b", tree, deb.to_str().unwrap()]);
        let bytes = fs::read(&deb).unwrap();
        index.push_str(&format!(
            "{control}Filename: ./{file}\nSize: {}\nSHA256: {}\nDescription: lab\n\n",
            bytes.len(),
            updraft_base::Digest::of(&bytes),
        ));
    }
    fs::write(repo.join("Packages"), index).unwrap();
    fs::write(root.join("etc/apt/sources.list"), "deb [trusted=yes] file:/repo ./\n").unwrap();
    drop(fs::remove_dir_all(root.join("etc/apt/sources.list.d")));
}

fn packages(debian: &mut Debian) {
    let made = debian.changes("apt", json!({ "name": "alpha=1.0" }));
    assert!(made["diff"]["prepared"].as_str().unwrap().contains("alpha"), "{made:?}");
    assert_eq!(debian.version("alpha").as_deref(), Some("1.0"));
    debian.stays("apt", json!({ "name": ["alpha"], "state": "present" }));
    debian.stays("package", json!({ "name": "alpha" }));
    debian.stays("apt", json!({ "name": "alpha=1.*" }));
    debian.stays("apt", json!({ "name": "vee" }));
    debian.changes("apt", json!({ "name": "alpha", "state": "latest" }));
    assert_eq!(debian.version("alpha").as_deref(), Some("2.0-1"));
    debian.stays("apt", json!({ "name": "alpha>=1.5" }));
    debian.fails("apt", json!({ "name": "alpha>=3" }), "no available installation candidate");
    debian.fails("apt", json!({ "name": "alpha=1.0", "allow_downgrade": false }), "failed");
    debian.changes("apt", json!({ "name": "alpha=1.0", "allow_downgrade": true }));
    debian.changes("apt", json!({ "name": "alpha>=1.5" }));
    debian.fails(
        "apt",
        json!({ "name": "no-such-thing" }),
        "No package matching 'no-such-thing' is available",
    );
    debian.fails(
        "apt",
        json!({ "name": "no-such-*" }),
        "No package(s) matching 'no-such-*' available",
    );
    debian.fails("apt", json!({ "name": "a=b=c" }), "invalid package spec");
    debian.changes("apt", json!({ "name": ["alpha", "beta", "delta"], "state": "absent" }));
    debian.changes("apt", json!({ "name": "beta" }));
    let states = debian.read("/var/lib/apt/extended_states");
    assert!(states.contains("Package: alpha"), "{states}");
    // Naming what came as a dependency makes it wanted for itself, without counting as a change.
    debian.stays("apt", json!({ "name": "alpha" }));
    let states = debian.read("/var/lib/apt/extended_states");
    assert!(
        !states.contains("Package: alpha\n") || states.contains("Auto-Installed: 0"),
        "{states}"
    );
    debian.changes("apt", json!({ "name": "al*", "state": "absent", "autoremove": true }));
    assert_eq!(debian.version("beta"), None);
    let only = debian.stays("apt", json!({ "name": "alpha", "only_upgrade": true }));
    assert_eq!(only["cache_updated"], false);
    let upgraded = debian.run("apt", json!({ "upgrade": "dist" }));
    assert_eq!(upgraded["changed"], false, "{upgraded:?}");
    let valid = debian.stays("apt", json!({ "update_cache": true, "cache_valid_time": 86400 }));
    assert!(valid["cache_update_time"].as_i64().unwrap() > 0);
    let cleaned = debian.run("apt", json!({ "clean": true }));
    assert_eq!(cleaned["changed"], true, "{cleaned:?}");
}

fn nothing_is_started(debian: &mut Debian) {
    debian.changes("apt", json!({ "name": ["alpha", "beta"] }));
    for program in ["apt-get", "apt-cache", "apt-mark", "dpkg", "dpkg-query"] {
        let path = debian.path(&format!("/usr/bin/{program}"));
        fs::remove_file(&path).unwrap();
        fs::write(&path, "#!/bin/sh\ntouch /started\nexit 99\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    debian.stays("apt", json!({ "name": ["alpha", "beta=1.0", "apt>=1"] }));
    debian.stays("apt", json!({ "name": "gamma", "state": "absent", "purge": true }));
    debian.stays("package", json!({ "name": "alpha", "state": "present" }));
    assert!(!debian.path("/started").exists());
    let facts = debian.run("facts", json!({}));
    assert_eq!(facts["distribution"], "Debian");
    assert_eq!(facts["distribution_release"], "bookworm");
    assert_eq!(facts["is_chroot"], true);
    assert_eq!(facts["python_version"], "3.0.0");
}

fn leftovers(debian: &mut Debian) {
    debian.changes("apt", json!({ "name": "gamma", "install_recommends": false }));
    assert_eq!(debian.version("delta"), None);
    debian.changes("apt", json!({ "name": "gamma", "state": "absent" }));
    assert!(debian.path("/etc/gamma.conf").exists());
    debian.changes("apt", json!({ "name": "gamma", "state": "absent", "purge": true }));
    assert!(!debian.path("/etc/gamma.conf").exists());
    debian
        .changes("apt", json!({ "name": "gamma", "install_recommends": true, "policy_rc_d": 101 }));
    assert!(debian.version("delta").is_some());
    assert!(!debian.path("/usr/sbin/policy-rc.d").exists());
    debian.changes("apt", json!({ "deb": "/repo/alpha_1.0.deb" }));
    assert_eq!(debian.version("alpha").as_deref(), Some("1.0"));
    debian.fails("apt", json!({ "deb": "/repo/Packages" }), "Unable to install package");
    debian.fails(
        "apt",
        json!({ "deb": "/x", "name": "y" }),
        "parameters are mutually exclusive: deb|package|upgrade",
    );
    let removed = debian.run("apt", json!({ "autoremove": true }));
    assert_eq!(removed.get("failed"), None, "{removed:?}");
}

fn accounts(debian: &mut Debian) {
    debian.changes("group", json!({ "name": "shop", "gid": 2000 }));
    debian.changes("group", json!({ "name": "shop", "gid": 2001 }));
    debian.changes("group", json!({ "name": "daemons", "system": true }));
    debian.fails("user", json!({ "name": "web", "groups": "nope" }), "Group nope does not exist");
    let hash = format!("$6$salt${}", "a".repeat(86));
    let asked = json!({
        "name": "web", "uid": 3000, "group": "shop", "groups": ["daemons", "audio"],
        "shell": "/bin/bash", "comment": "Web shop", "password": hash, "expires": 1_900_000_000
    });
    let made = debian.changes("user", asked);
    assert_eq!(made["uid"], 3000);
    assert_eq!(made["group"], 2001);
    assert_eq!(made["password"], "NOT_LOGGING_PASSWORD");
    assert!(debian.read("/etc/shadow").contains(&format!("web:{hash}:")));
    assert!(debian.path("/home/web/.bashrc").exists());
    assert_eq!(fs::metadata(debian.path("/home/web")).unwrap().uid(), 3000);
    debian.stays("user", json!({ "name": "web", "groups": "audio", "append": true }));
    debian.changes("user", json!({ "name": "web", "groups": "video", "append": true }));
    debian.changes("user", json!({ "name": "web", "groups": ["audio"] }));
    debian.changes("user", json!({ "name": "web", "groups": [] }));
    debian.changes("user", json!({ "name": "web", "shell": "/bin/sh", "comment": "x" }));
    debian.changes("user", json!({ "name": "web", "password_lock": true }));
    assert!(debian.read("/etc/shadow").contains(&format!("web:!{hash}:")));
    debian.stays("user", json!({ "name": "web", "password": "!", "update_password": "on_create" }));
    debian.changes("user", json!({ "name": "web", "expires": -1 }));
    debian.changes("user", json!({ "name": "web", "password_expire_max": 30 }));
    let keyed = debian
        .run("user", json!({ "name": "web", "generate_ssh_key": true, "ssh_key_type": "ed25519" }));
    assert_eq!(keyed["changed"], true, "{keyed:?}");
    assert!(keyed["ssh_public_key"].as_str().unwrap().starts_with("ssh-ed25519 "));
    debian.stays(
        "user",
        json!({ "name": "web", "generate_ssh_key": true, "ssh_key_type": "ed25519" }),
    );
    let key = keyed["ssh_public_key"].clone();
    debian.changes("authorized_key", json!({ "user": "web", "key": key }));
    let file = fs::metadata(debian.path("/home/web/.ssh/authorized_keys")).unwrap();
    assert_eq!((file.mode() & 0o777, file.uid(), file.gid()), (0o600, 3000, 2001));
    debian.changes("user", json!({ "name": "robot", "system": true, "create_home": false, "shell": "/usr/sbin/nologin" }));
    assert!(!debian.path("/home/robot").exists());
    debian.changes("user", json!({ "name": "web", "state": "absent", "remove": true }));
    assert!(!debian.path("/home/web").exists());
    debian.changes("group", json!({ "name": "shop", "state": "absent" }));
}

fn services(debian: &mut Debian) {
    let unit = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
    fs::write(debian.path("/etc/systemd/system/demo.service"), unit).unwrap();
    debian.changes("service", json!({ "name": "demo", "enabled": true }));
    let link = debian.path("/etc/systemd/system/multi-user.target.wants/demo.service");
    assert!(link.symlink_metadata().is_ok());
    debian.changes("systemd", json!({ "name": "demo.service", "enabled": false }));
    assert!(link.symlink_metadata().is_err());
    fs::remove_file(debian.path("/etc/systemd/system/demo.service")).unwrap();
    fs::write(debian.path("/lib/systemd/system/demo.service"), unit).unwrap();
    debian.changes("systemd_service", json!({ "name": "demo", "masked": true }));
    debian.changes("systemd_service", json!({ "name": "demo", "masked": false }));
    debian.fails(
        "service",
        json!({ "name": "nope", "enabled": true }),
        "Could not find the requested service nope: host",
    );
    let started =
        debian.run("systemd", json!({ "name": "demo", "state": "started", "daemon_reload": true }));
    assert_eq!(started["changed"], false, "{started:?}");
    let warnings = started["warnings"].to_string();
    assert!(warnings.contains("Target is a chroot or systemd is offline"), "{warnings}");
}

fn settings(debian: &mut Debian) {
    debian.changes("hostname", json!({ "name": "shop1" }));
    assert_eq!(debian.read("/etc/hostname"), "shop1\n");
    let setting = json!({ "name": "vm.swappiness", "value": 7, "reload": false });
    debian.changes("sysctl", setting);
    assert!(debian.read("/etc/sysctl.conf").contains("vm.swappiness=7"));
    let root = debian.stays("getent", json!({ "database": "passwd", "key": "root" }));
    assert_eq!(root["ansible_facts"]["getent_passwd"]["root"][5], "/bin/bash", "{root:?}");
    debian.fails("getent", json!({ "database": "passwd", "key": "nope" }), "could not be found");
    let none =
        debian.stays("getent", json!({ "database": "passwd", "key": "nope", "fail_key": false }));
    assert_eq!(none["ansible_facts"]["getent_passwd"]["nope"], Value::Null);
}

fn sources(debian: &mut Debian) {
    let repo = json!({ "repo": "deb [trusted=yes] file:/repo ./", "filename": "lab" });
    debian.stays("apt_repository", repo);
    fs::remove_file(debian.path("/etc/apt/sources.list")).unwrap();
    let repo =
        json!({ "repo": "deb [trusted=yes]  file:/repo  ./", "filename": "lab", "mode": "0640" });
    debian.changes("apt_repository", repo.clone());
    let list = debian.read("/etc/apt/sources.list.d/lab.list");
    assert_eq!(list, "deb [trusted=yes] file:/repo ./\n");
    let gone = json!({ "repo": "deb file:/nowhere ./", "update_cache_retries": 1 });
    debian.fails("apt_repository", gone, "Failed to update apt cache");
    assert!(!debian.path("/etc/apt/sources.list.d/nowhere.list").exists());
    let mut absent = repo;
    absent["state"] = "absent".into();
    debian.changes("apt_repository", absent);
    assert!(!debian.path("/etc/apt/sources.list.d/lab.list").exists());
    let facts = debian.stays("package_facts", json!({}));
    let apt = &facts["ansible_facts"]["packages"]["apt"][0];
    assert_eq!((&apt["source"], &apt["category"]), (&"apt".into(), &"admin".into()), "{apt}");
    let facts = debian.stays("service_facts", json!({}));
    assert!(facts["ansible_facts"]["services"].is_object());
    fs::create_dir_all(debian.path("/etc/cron.d")).unwrap();
    let job = json!({ "name": "n", "job": "true", "cron_file": "lab", "user": "root", "hour": 3 });
    debian.changes("cron", job);
    assert_eq!(debian.read("/etc/cron.d/lab"), "#Ansible: n\n* 3 * * * root true\n");
    debian.changes("cron", json!({ "name": "n", "cron_file": "lab", "state": "absent" }));
    assert!(!debian.path("/etc/cron.d/lab").exists());
}

fn surroundings(debian: &mut Debian) {
    let tool = |path: &str, state: &str| json!({ "name": "lab", "link": "/usr/bin/lab-tool", "path": path, "state": state });
    debian.changes("alternatives", tool("/bin/true", "selected"));
    debian.changes("alternatives", tool("/bin/false", "present"));
    let leads = |debian: &Debian| fs::read_link(debian.path("/etc/alternatives/lab")).unwrap();
    assert_eq!(leads(debian), Path::new("/bin/true"));
    debian.changes("alternatives", tool("/bin/false", "selected"));
    assert_eq!(leads(debian), Path::new("/bin/false"));
    debian.changes("alternatives", tool("/bin/false", "absent"));
    debian.fails("alternatives", tool("/no/where", "selected"), "does not exist");

    // The base system has no zones.
    fs::create_dir_all(debian.path("/usr/share/zoneinfo/Europe")).unwrap();
    fs::write(debian.path("/usr/share/zoneinfo/Europe/Vienna"), "TZif").unwrap();
    debian.changes("timezone", json!({ "name": "Europe/Vienna" }));
    let zone = fs::read_link(debian.path("/etc/localtime")).unwrap();
    assert_eq!(zone, Path::new("/usr/share/zoneinfo/Europe/Vienna"));
    debian.changes("timezone", json!({ "hwclock": "local" }));
    assert!(debian.read("/etc/adjtime").contains("LOCAL"));
    debian.fails("timezone", json!({ "name": "Europe/Atlantis" }), "is not available");
    debian.changes(
        "modprobe",
        json!({ "name": "lab", "state": "absent", "persistent": "present", "params": "x=1" }),
    );
    assert_eq!(debian.read("/etc/modprobe.d/lab.conf"), "options lab x=1\n");
}

/// Stand-ins generate a locale by noting its name.
fn locales(debian: &mut Debian) {
    let asked = |name: &str, state: &str| json!({ "name": [name], "state": state });
    fs::remove_file(debian.path("/usr/bin/locale")).unwrap();
    debian.program("/usr/bin/locale", "echo C.utf8; cat /etc/locales");
    debian.fails("locale_gen", asked("de_CH.UTF-8", "present"), "Is the package \"locales\"");
    let list = "# de_CH.UTF-8 UTF-8\nfr_FR ISO-8859-1\n";
    fs::create_dir_all(debian.path("/usr/share/i18n")).unwrap();
    fs::write(debian.path("/usr/share/i18n/SUPPORTED"), list).unwrap();
    fs::write(debian.path("/etc/locale.gen"), list).unwrap();
    fs::write(debian.path("/etc/locales"), "fr_FR\n").unwrap();
    let generate =
        r"sed -n 's/^\([a-z][^ ]*\) .*/\1/;s/UTF-8/utf8/;/^[a-z]/p' /etc/locale.gen > /etc/locales";
    debian.program("/usr/sbin/locale-gen", generate);

    debian.stays("locale_gen", asked("C.UTF-8", "present"));
    debian.fails("locale_gen", asked("xx_YY", "present"), "not available on your system: xx_YY");
    // As with Ansible's module nobody is promised anything.
    let checked = debian.ask("locale_gen", asked("de_CH.UTF-8", "present"), true);
    assert_eq!(checked["changed"], false, "{checked:?}");
    assert_eq!(debian.read("/etc/locale.gen"), list);
    for (name, state, after) in [
        ("de_CH.UTF-8", "present", "de_CH.UTF-8 UTF-8\nfr_FR ISO-8859-1\n"),
        ("fr_FR", "absent", "de_CH.UTF-8 UTF-8\n# fr_FR ISO-8859-1\n"),
    ] {
        let answer = debian.run("locale_gen", asked(name, state));
        assert_eq!((&answer["changed"], &answer["mechanism"]), (&true.into(), &"glibc".into()));
        assert_eq!(debian.read("/etc/locale.gen"), after);
        debian.stays("locale_gen", asked(name, state));
    }
    assert_eq!(debian.read("/etc/locales"), "de_CH.utf8\n");
    debian.program("/usr/sbin/locale-gen", "echo broken >&2; exit 3");
    debian.fails("locale_gen", asked("fr_FR", "present"), "broken");
}

/// A stand-in has one thing to make, and fails to make what is called broken.
fn targets(debian: &mut Debian) {
    let script = r#"case "$*" in
broken*) echo "no rule" >&2; exit 2 ;;
*-q) test -e made ;;
*) echo "$*" > made; echo "making $*" ;;
esac"#;
    debian.program("/usr/bin/make", script);
    fs::create_dir_all(debian.path("/srv/source")).unwrap();
    let all = json!({ "chdir": "/srv/source", "targets": ["all"], "jobs": 2, "params": { "V": 1, "K": null } });
    let checked = debian.ask("make", all.clone(), true);
    assert_eq!(checked["changed"], true, "{checked:?}");
    assert!(!debian.path("/srv/source/made").exists());
    let made = debian.changes("make", all.clone());
    assert_eq!(made["stdout"], "making -j 2 all V=1 K");
    assert_eq!(made["command"], "/usr/bin/make -j 2 all V=1 K");
    assert_eq!((&made["jobs"], &made["target"]), (&json!(2), &Value::Null));
    debian.stays("make", all);
    debian.fails("make", json!({ "chdir": "/srv/source", "target": "broken" }), "no rule");
    debian.fails("make", json!({ "chdir": "/srv/none" }), "not supported");
}

fn keys(debian: &mut Debian) {
    let asked = |kind: &str, regenerate: &str, comment: &str| json!({ "path": "/srv/key", "type": kind, "regenerate": regenerate, "comment": comment });
    let key = |comment: &str| asked("ed25519", "partial_idempotence", comment);
    let made = debian.changes("openssh_keypair", key("one"));
    assert_eq!((&made["size"], &made["comment"]), (&json!(256), &json!("one")));
    let mode = |debian: &Debian, path: &str| {
        fs::metadata(debian.path(path)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode(debian, "/srv/key"), mode(debian, "/srv/key.pub")), (0o600, 0o644));
    let public = debian.read("/srv/key.pub");
    assert_eq!(public, format!("{} one\n", made["public_key"].as_str().unwrap()));

    let told = debian.changes("openssh_keypair", key("two words"));
    assert_eq!(told["fingerprint"], made["fingerprint"]);
    assert_eq!(debian.read("/srv/key.pub"), public.replace("one", "two words"));
    fs::remove_file(debian.path("/srv/key.pub")).unwrap();
    debian.changes("openssh_keypair", key("two words"));
    assert_eq!(debian.read("/srv/key.pub"), public.replace("one", "two words"));

    let other = |regenerate: &str| asked("ecdsa", regenerate, "two words");
    debian.stays("openssh_keypair", other("never"));
    debian.fails("openssh_keypair", other("fail"), "Key has wrong type and/or size.");
    let new = debian.changes("openssh_keypair", other("full_idempotence"));
    assert_ne!(new["fingerprint"], made["fingerprint"]);
    assert_eq!(new["diff"]["after"]["type"], "ecdsa", "{new:?}");
    let secret = json!({ "path": "/srv/key", "passphrase": "hunter2" });
    debian.fails("openssh_keypair", secret, "a passphrase is not supported");
    fs::write(debian.path("/srv/key"), "no key\n").unwrap();
    debian.fails("openssh_keypair", other("never"), "Unable to read the key.");
    debian.changes("openssh_keypair", other("full_idempotence"));
    debian.changes("openssh_keypair", json!({ "path": "/srv/key", "state": "absent" }));
    assert!(!debian.path("/srv/key").exists() && !debian.path("/srv/key.pub").exists());
}

/// A stand-in notes what is installed, and has never heard of what is called none.
fn node(debian: &mut Debian) {
    let script = r#"case "$*" in
list*) cat installed || echo "{}" ;;
outdated*) cat outdated ;;
update*) rm outdated ;;
install*left*) echo '{"dependencies":{"left":{"version":"1.0.0"}}}' > installed ;;
uninstall*) rm installed ;;
*) echo "npm ERR! nothing is called https://me:it@there/none: $*" >&2; exit 1 ;;
esac"#;
    debian.program("/usr/bin/npm", script);
    let left = |state: &str, more: &str| json!({ "path": "/srv/web", "name": "left", "version": more, "state": state });
    let refused = debian.ask("npm", left("present", ""), true);
    assert_eq!(refused["_updraft_beyond"], true, "nothing is made in check mode: {refused:?}");
    fs::create_dir_all(debian.path("/srv/web")).unwrap();
    debian.changes("npm", left("present", ""));
    debian.stays("npm", left("present", "1.0.0"));
    let newer = debian.ask("npm", left("present", "2.0.0"), true);
    assert_eq!(newer["changed"], true, "{newer:?}");
    fs::write(debian.path("/srv/web/outdated"), "Package Current\nleft 1.0.0\n").unwrap();
    debian.stays("npm", left("present", ""));
    debian.changes("npm", left("latest", ""));
    debian.changes("npm", left("absent", ""));
    debian.fails("npm", json!({ "name": "none", "global": true }), "https://me:********@there");
    debian.fails("npm", json!({ "name": "none" }), "path must be specified");
}

/// A stand-in takes some options for one command, none for another, and knows no third.
fn php(debian: &mut Debian) {
    let script = r#"test "$1" = global && shift
case "$*" in
"help install"*) echo '{"definition":{"options":{"no-dev":{},"dry-run":{},"no-ansi":{}}}}' ;;
"help about"*) echo '{"definition":{"options":[]}}' ;;
help*) echo "Command  $2
is not defined." >&2; exit 1 ;;
*broken*) echo "cannot   resolve" >&2; exit 2 ;;
install*) test -e /srv/site/vendor && echo "Nothing to install, update or remove" >&2 && exit
  echo "  - Installing: $*"
  case "$*" in *--dry-run*) ;; *) mkdir /srv/site/vendor ;; esac ;;
about*) echo "$*" ;;
esac"#;
    debian.program("/usr/bin/php", "exec \"$@\"");
    debian.program("/usr/bin/composer", script);
    fs::create_dir_all(debian.path("/srv/site")).unwrap();
    let site = |command: &str, more: &str| json!({ "working_dir": "/srv/site", "command": command, "arguments": more });
    let made = debian.changes("composer", site("install", "'a b' c"));
    let said = "- Installing: install --no-ansi --no-dev --working-dir /srv/site a b c";
    assert_eq!((&made["msg"], &made["stdout"]), (&json!(said), &json!(format!("  {said}\n"))));
    let skipped = debian.ask("composer", site("about", ""), true);
    assert_eq!(skipped["skipped"], true, "{skipped:?}");
    let about = debian.run("composer", json!({ "command": "about", "global_command": true }));
    assert_eq!(about["stdout"], "about\n", "{about:?}");
    debian.fails("composer", site("none", ""), "Command none is not defined.");
    debian.fails("composer", site("install", "broken"), "cannot resolve");
    debian.fails("composer", site("install now", ""), "Use the 'arguments' param");
    debian.fails("composer", json!({}), "all of the following are missing: working_dir");
}

/// Swap is the real thing; of ext2 stand-ins make and tell just enough for blkid and us.
fn images(debian: &mut Debian) {
    let image = fs::File::create(debian.path("/srv/disk")).unwrap();
    image.set_len(1 << 20).unwrap();
    let asked = |fstype: &str| json!({ "dev": "/srv/disk", "fstype": fstype });
    debian.changes("filesystem", asked("swap"));
    debian.fails("filesystem", asked("ext2"), "'/srv/disk' is already used as swap, use force");
    let resized = |fstype: &str| json!({ "dev": "/srv/disk", "fstype": fstype, "resizefs": true });
    debian.fails("filesystem", resized("swap"), "does not support resizing swap filesystem yet");
    let blank = json!({ "dev": "/srv/disk", "state": "absent" });
    debian.changes("filesystem", blank);
    debian.stays("filesystem", json!({ "dev": "/srv/none", "state": "absent" }));
    debian.fails("filesystem", json!({ "dev": "/srv/none", "fstype": "xfs" }), "not found");
    debian.fails("filesystem", asked("f2fs"), "not supported");
    debian.fails("filesystem", json!({ "dev": "/srv/disk" }), "fstype");

    let bless = r#"test "$1" = -F && printf '\123\357' | dd of="$2" bs=1 seek=1080 conv=notrunc"#;
    debian.program("/usr/sbin/mkfs.ext2", bless);
    debian
        .program("/usr/sbin/tune2fs", "echo Block count: `cat /srv/blocks`; echo Block size: 1024");
    debian.program("/usr/sbin/resize2fs", "echo 2048 > /srv/blocks; echo grown");
    fs::write(debian.path("/srv/blocks"), "1024\n").unwrap();
    debian.changes("filesystem", asked("ext2"));
    let whole = debian.stays("filesystem", resized("ext2"));
    assert_eq!(whole["msg"], "Ext2 filesystem is using the whole device /srv/disk");
    image.set_len(2 << 20).unwrap();
    assert_eq!(debian.changes("filesystem", resized("ext2"))["msg"], "grown\n");
}

/// A stand-in for lvm knows one group of files and of volumes that are named in two lists.
fn groups(debian: &mut Debian) {
    let script = r#"cd /srv/lvm
case "${0##*/} $*" in
*--help) ;;
vgs*lv_count*) test ! -e group || echo "  data;$(wc -l < group);$(wc -l < volumes)" ;;
vgs*lv_attr*data) sed 's/^/  /' volumes ;;
pvs*) test ! -e group || sed 's/^/  /; s/$/;data/' group ;;
"vgcreate -s 4 data "*) shift 3; printf '%s\n' "$@" > group; : > volumes ;;
"vgextend data "*) shift; printf '%s\n' "$@" >> group ;;
"vgreduce --force data "*) sed -i "\|^$3\$|d" group ;;
"vgchange --activate y data") sed -i s/-wi-------/-wi-a-----/ volumes ;;
"vgchange --activate n data") sed -i s/-wi-a-----/-wi-------/ volumes ;;
"vgremove --force data") rm group volumes ;;
"pvcreate -f /srv/two") test ! -e broken || { echo "no room" >&2; exit 5; } ;;
"pvcreate -f "*) ;;
*) echo "what is $0 $*?" >&2; exit 3 ;;
esac"#;
    fs::create_dir(debian.path("/srv/lvm")).unwrap();
    for name in
        ["pvs", "pvcreate", "vgs", "vgchange", "vgcreate", "vgextend", "vgreduce", "vgremove"]
    {
        debian.program(&format!("/usr/sbin/{name}"), script);
    }
    let on = |devices: &[&str]| json!({ "vg": "data", "pvs": devices });
    debian.fails("lvg", json!({ "vg": "data" }), "No physical volumes given.");
    debian.fails("lvg", on(&["/srv/one"]), "Device /srv/one not found.");
    fs::write(debian.path("/srv/one"), "").unwrap();
    fs::write(debian.path("/srv/two"), "").unwrap();
    debian.changes("lvg", on(&["/srv/one"]));
    fs::write(debian.path("/srv/lvm/broken"), "").unwrap();
    debian.fails("lvg", on(&["/srv/one", "/srv/two"]), "physical volume '/srv/two' failed");
    fs::remove_file(debian.path("/srv/lvm/broken")).unwrap();
    debian.changes("lvg", on(&["/srv/one", "/srv/two"]));
    let kept = json!({ "vg": "data", "pvs": ["/srv/two"], "remove_extra_pvs": false });
    debian.stays("lvg", kept);
    debian.changes("lvg", on(&["/srv/two"]));
    assert_eq!(debian.read("/srv/lvm/group"), "/srv/two\n");

    fs::write(debian.path("/srv/lvm/volumes"), "-wi-------\n-wi-a-----\n").unwrap();
    debian.changes("lvg", json!({ "vg": "data", "state": "active" }));
    debian.changes("lvg", json!({ "vg": "data", "state": "inactive" }));
    let absent = |force: bool| json!({ "vg": "data", "state": "absent", "force": force });
    debian.fails("lvg", absent(false), "Refuse to remove non-empty volume group data");
    debian.changes("lvg", absent(true));
}

/// A stand-in for lvm knows one group with one volume and what is to be done to it.
fn volumes(debian: &mut Debian) {
    let script = r#"cd /srv/lvm
case "${0##*/} $*" in
"lvm version") echo "  LVM version:     2.03.16(2) (2022-05-18)" ;;
*gone) exit 5 ;;
vgs*" --units m "*data) echo "  data;1000.00;900.00;4.00" ;;
lvs*" --units m "*data) cat list ;;
*" --test "*) ;;
"lvcreate --yes -n root -L 100m data") echo "root;100.00;-wi-a-----" > list ;;
"lvextend -L 200m data/root") sed -i s/100.00/200.00/ list ;;
"lvreduce --force --resizefs -L 48m data/root") sed -i s/200.00/48.00/ list ;;
"lvextend -l 20%VG data/root") echo "does not fit" >&2; exit 5 ;;
"lvchange -ay data/root") sed -i s/-wi-------/-wi-a-----/ list ;;
"lvchange -an data/root") sed -i s/-wi-a-----/-wi-------/ list ;;
"lvremove --force data/root") : > list ;;
*) echo "what is $0 $*?" >&2; exit 3 ;;
esac"#;
    fs::create_dir(debian.path("/srv/lvm")).unwrap();
    fs::write(debian.path("/srv/lvm/list"), "").unwrap();
    for name in ["lvm", "lvs", "lvcreate", "lvextend", "lvreduce", "lvchange", "lvremove", "vgs"] {
        debian.program(&format!("/usr/sbin/{name}"), script);
    }
    let gone = |state: &str| json!({ "vg": "gone", "lv": "root", "state": state, "size": 1 });
    debian.fails("lvol", gone("present"), "Volume group gone does not exist.");
    debian.stays("lvol", gone("absent"));
    let sized = |size: &str| json!({ "vg": "data", "lv": "root", "size": size });
    debian.changes("lvol", sized("100"));
    assert_eq!(debian.changes("lvol", sized("200"))["size"], 100.0);
    debian.fails("lvol", sized("48"), "Sorry, no shrinking of root without force=true.");
    debian.stays("lvol", json!({ "vg": "data", "lv": "root", "size": 48, "shrink": false }));
    let forced =
        json!({ "vg": "data", "lv": "root", "size": "48m", "force": true, "resizefs": true });
    debian.changes("lvol", forced);
    debian.fails("lvol", sized("20%VG"), "Unable to resize root to 20%VG");
    debian.changes("lvol", json!({ "vg": "data", "lv": "root", "active": false }));
    let absent =
        |force: bool| json!({ "vg": "data", "lv": "root", "state": "absent", "force": force });
    debian.fails("lvol", absent(false), "no removal of logical volume root without force=true");
    debian.changes("lvol", absent(true));
}

fn lists(debian: &mut Debian) {
    fs::create_dir(debian.path("/srv/shared")).unwrap();
    fs::write(debian.path("/srv/shared/file"), "x\n").unwrap();
    let file = |rights: &str, state: &str| json!({ "path": "/srv/shared/file", "etype": "user", "entity": "daemon", "permissions": rights, "state": state });
    debian.changes("acl", file("r", "present"));
    let now = debian.stays("acl", json!({ "path": "/srv/shared/file" }));
    let all = ["user::rw-", "user:daemon:r--", "group::r--", "mask::r--", "other::r--"];
    assert_eq!(now["acl"], json!(all));
    debian.changes("acl", file("rw", "present"));
    let gone = json!({ "path": "/srv/shared/file", "entry": "u:daemon", "state": "absent" });
    debian.changes("acl", gone);
    debian.changes(
        "acl",
        json!({ "path": "/srv/shared", "entry": "d:group:adm:rwx", "state": "present" }),
    );
    debian.fails("acl", file("q", "present"), "Invalid argument");
    debian.fails("acl", json!({ "path": "/srv/none" }), "Path not found or not accessible.");

    let user = |password: &str, hash: &str| json!({ "path": "/srv/passwords", "name": "ann", "password": password, "hash_scheme": hash, "mode": "0640" });
    debian.changes("htpasswd", user("one", "apr_md5_crypt"));
    debian.changes("htpasswd", user("two", "ldap_sha1"));
    debian.stays("htpasswd", user("two", "apr_md5_crypt"));
    assert!(debian.read("/srv/passwords").starts_with("ann:{SHA}"));
    debian
        .changes("htpasswd", json!({ "path": "/srv/passwords", "name": "ann", "state": "absent" }));
}

fn packets(debian: &mut Debian) {
    let ssh = |state: &str| json!({ "chain": "INPUT", "protocol": "tcp", "destination_port": 22, "ctstate": ["NEW"], "syn": "match", "jump": "ACCEPT", "comment": "let in", "state": state });
    let made = debian.changes("iptables", ssh("present"));
    let rule = "-p tcp -j ACCEPT --destination-port 22 --syn -m conntrack --ctstate NEW -m comment --comment let in";
    assert_eq!(made["rule"], rule);
    debian.changes("iptables", json!({ "chain": "OWN", "chain_management": true }));
    debian.changes("iptables", json!({ "chain": "INPUT", "goto": "OWN", "action": "insert" }));
    let listed = |debian: &mut Debian| {
        debian.run("command", json!({ "cmd": "iptables -S INPUT" }))["stdout_lines"].clone()
    };
    assert_eq!(listed(debian)[1], "-A INPUT -g OWN");
    debian.changes("iptables", json!({ "chain": "INPUT", "policy": "DROP", "ip_version": "ipv6" }));
    debian.changes("iptables", ssh("absent"));
    debian.run("iptables", json!({ "chain": "INPUT", "flush": true }));
    assert_eq!(listed(debian), json!(["-P INPUT ACCEPT"]));
    debian.fails("iptables", json!({ "chain": "NONE", "jump": "ACCEPT" }), "iptables");

    debian.changes("ufw", json!({ "rule": "allow", "port": 22, "comment": "for admins" }));
    let made = debian.run("ufw", json!({ "state": "enabled", "policy": "reject" }));
    assert_eq!(made["changed"], true, "{made:?}");
    assert!(made["msg"].as_str().unwrap().contains("Default: reject (incoming)"), "{made:?}");
    let deny = json!({ "rule": "deny", "src": "10.0.0.0/8", "insert": 1 });
    assert_eq!(debian.run("ufw", deny)["changed"], true);
    let rule = "deny any any 0.0.0.0/0 any 10.0.0.0/8 in";
    assert!(debian.read("/etc/ufw/user.rules").contains(rule));
    debian.changes("ufw", json!({ "logging": "full" }));
    debian.fails("ufw", json!({ "rule": "allow", "port": "no such" }), "ERROR");
}

fn mounts(debian: &mut Debian) {
    let mount = |opts: &str, state: &str| json!({ "path": "/srv/my data", "src": "lab", "fstype": "tmpfs", "opts": opts, "state": state });
    debian.changes("mount", mount("size=1m", "mounted"));
    assert!(debian.read("/etc/fstab").contains("lab /srv/my\\040data tmpfs size=1m 0 0\n"));
    let mounted = |debian: &mut Debian| {
        debian.run("command", json!({ "cmd": "grep -c my.040data /proc/self/mounts" }))["stdout"]
            .clone()
    };
    assert_eq!(mounted(debian), "1");
    debian.changes("mount", mount("size=2m", "mounted"));
    debian.changes("mount", mount("size=2m", "unmounted"));
    debian.changes("mount", mount("size=3m", "present"));
    debian.changes("mount", mount("size=3m", "absent"));
    assert_eq!(mounted(debian), "0");
    assert!(!debian.read("/etc/fstab").contains("lab"));
    assert!(!debian.path("/srv/my data").exists());
}

fn running_services(debian: &mut Debian) {
    let unit = |exec: &str, more: &str| {
        format!("[Service]\nExecStart={exec}\n{more}\n[Install]\nWantedBy=multi-user.target\n")
    };
    let write = |debian: &Debian, name: &str, text: String| {
        fs::write(debian.path(&format!("/etc/systemd/system/{name}.service")), text).unwrap();
    };
    write(debian, "demo", unit("/bin/sleep infinity", ""));
    write(debian, "broken", unit("/bin/false", "Type=oneshot"));
    let reloaded = debian.run("systemd", json!({ "daemon_reload": true }));
    assert_eq!(reloaded.get("failed"), None, "{reloaded:?}");
    let started =
        debian.changes("service", json!({ "name": "demo", "state": "started", "enabled": true }));
    assert_eq!((&started["state"], &started["enabled"]), (&"started".into(), &true.into()));
    let pid = |debian: &mut Debian| {
        let seen = debian.stays("systemd", json!({ "name": "demo", "state": "started" }));
        assert_eq!(seen["status"]["ActiveState"], "active", "{seen:?}");
        seen["status"]["MainPID"].clone()
    };
    let first = pid(debian);
    let restarted = debian.run("service", json!({ "name": "demo", "state": "restarted" }));
    assert_eq!((&restarted["changed"], &restarted["state"]), (&true.into(), &"started".into()));
    assert_ne!(pid(debian), first);
    let checked = debian.ask("service", json!({ "name": "demo", "state": "restarted" }), true);
    assert_eq!(checked["changed"], true);
    debian.fails(
        "service",
        json!({ "name": "demo", "state": "reloaded" }),
        "Unable to reload service demo",
    );
    debian.fails(
        "service",
        json!({ "name": "broken", "state": "started" }),
        "Unable to start service broken",
    );
    debian.fails(
        "service",
        json!({ "name": "nope", "state": "started" }),
        "Could not find the requested service nope: host",
    );
    let facts = debian.stays("service_facts", json!({}));
    let demo = &facts["ansible_facts"]["services"]["demo.service"];
    assert_eq!((&demo["state"], &demo["status"]), (&"running".into(), &"enabled".into()), "{demo}");
    write(debian, "demo", unit("/bin/sleep infinity", "ExecReload=/bin/true"));
    let reloaded = debian
        .run("systemd", json!({ "name": "demo", "state": "reloaded", "daemon_reload": true }));
    assert_eq!(
        (reloaded.get("failed"), &reloaded["changed"]),
        (None, &true.into()),
        "{reloaded:?}"
    );
    debian.changes("service", json!({ "name": "demo", "state": "stopped", "enabled": false }));
    let facts = debian.run("facts", json!({}));
    assert_eq!(facts["service_mgr"], "systemd");
    debian.changes("hostname", json!({ "name": "booted" }));
}
