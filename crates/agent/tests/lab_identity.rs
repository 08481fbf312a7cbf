//! A machine is told who it is, with a kernel to tell: hostname, addresses, routes, accounts.
//!
//! The machine is this one in namespaces of its own, with an overlay over `/etc` and empty
//! directories over everything else that is written. Needs root, iproute2 and useradd.

#![expect(clippy::disallowed_methods, reason = "the lab starts the program it is about")]

use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use updraft_remote::{AgentSession, Output, Session as _, Stream};
use updraft_wire::{AdminAccount, Exec, Identity, Interface, Observed, Request, Response};

const SOON: Duration = Duration::from_secs(30);

/// Makes the machine, then becomes its agent.
const MACHINE: &str = r#"
set -e
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work"
cp "$2" "$1/agent"
mount -t overlay -o "lowerdir=/etc,upperdir=$1/upper,workdir=$1/work" none /etc
for path in /home /run /var/mail; do mount -t tmpfs none "$path"; done
mkdir -p /var/lib/updraft
mount -t tmpfs none /var/lib/updraft
rm -f /etc/ssh/ssh_host_* /etc/machine-id
hostname nobody-yet
mount -t sysfs none /sys
ip link set lo up
ip link add card0 address 52:54:00:aa:00:01 type veth peer name other
ip link set other up
exec "$1/agent" serve --stdio
"#;

struct Machine {
    session: AgentSession,
    _child: Child,
    _directory: tempfile::TempDir,
}

impl Machine {
    async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut child = Command::new("unshare")
            .args(["--mount", "--uts", "--net", "--propagation", "private", "--"])
            .args(["/bin/sh", "-c", MACHINE, "machine"])
            .arg(directory.path())
            .arg(env!("CARGO_BIN_EXE_updraft-agent"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the lab needs unshare");
        let stream = tokio::io::join(
            child.stdout.take().expect("a piped stdout"),
            child.stdin.take().expect("a piped stdin"),
        );
        let session = AgentSession::start("machine", stream, SOON).await;
        let session = session.expect("the lab needs root, namespaces and overlayfs");
        Self { session, _child: child, _directory: directory }
    }

    async fn identify(&self, identity: &Identity) {
        let request = Request::Identify(Box::new(identity.clone()));
        let answer = self.session.call(request, SOON).await.expect("an answer");
        assert_eq!(answer, Response::Done);
    }

    async fn observe(&self) -> Observed {
        match self.session.call(Request::Observe, SOON).await.expect("an answer") {
            Response::Observed(observed) => *observed,
            other => panic!("{other:?}"),
        }
    }

    async fn shell(&self, text: &str) -> String {
        let argv = ["/bin/sh", "-c", text].map(str::to_owned).to_vec();
        let mut heard = Heard::default();
        let exec = Exec { argv, deadline_ms: 20_000, ..Exec::default() };
        let exit = self.session.exec(exec, &mut heard).await.expect("a command that runs");
        assert_eq!(exit.code, 0, "{text}: {}", heard.0);
        heard.0
    }
}

#[derive(Default)]
struct Heard(String);

impl Output for Heard {
    fn chunk(&mut self, _stream: Stream, bytes: &[u8]) {
        self.0.push_str(&String::from_utf8_lossy(bytes));
    }
}

fn identity() -> Identity {
    Identity {
        digest: "d1".to_owned(),
        machine: "01KAJ6H2C4B8Y3V7Q9WXZ5T0AN".to_owned(),
        machine_id: "0123456789abcdef0123456789abcdef".to_owned(),
        hostname: "worker-1".to_owned(),
        domain: "hello.test".to_owned(),
        interfaces: vec![Interface {
            mac: "52:54:00:aa:00:01".parse().expect("an address"),
            address: "10.77.0.11/24".to_owned(),
            gateway: Some("10.77.0.1".to_owned()),
        }],
        resolvers: vec!["10.77.0.1".to_owned()],
        hosts: vec![("10.77.0.12".to_owned(), vec!["worker-2".to_owned()])].into(),
        host_keys: Vec::new(),
        admins: vec![AdminAccount {
            name: "updraft-ops".to_owned(),
            keys: vec!["ssh-ed25519 AAAA me".to_owned()],
        }],
        // The clock is everybody's.
        time: None,
        seed: None,
        quiet_ms: None,
    }
}

#[tokio::test]
async fn a_machine_is_what_it_was_told_at_once() {
    let machine = Machine::start().await;
    machine.identify(&identity()).await;
    assert_eq!(machine.shell("hostname").await, "worker-1\n");
    let addresses = machine.shell("ip -4 -o addr show dev card0").await;
    assert!(addresses.contains("inet 10.77.0.11/24 brd 10.77.0.255"), "{addresses}");
    let link = machine.shell("ip -o link show dev card0").await;
    assert!(link.contains(",UP"), "{link}");
    let route = machine.shell("ip route show default").await;
    assert!(route.starts_with("default via 10.77.0.1 dev card0 proto static"), "{route}");
    let other = machine.shell("getent hosts worker-2").await;
    assert!(other.starts_with("10.77.0.12 "), "{other}");
    let keys = "stat -c '%a %U' ~updraft-ops/.ssh/authorized_keys && id -un updraft-ops";
    assert_eq!(machine.shell(keys).await, "600 updraft-ops\nupdraft-ops\n");
    let observed = machine.observe().await;
    assert_eq!(observed.identity, "d1");
    let [key] = &observed.host_keys[..] else { panic!("{:?}", observed.host_keys) };
    assert!(key.starts_with("ssh-ed25519 "), "{key}");
    let record = machine.shell("stat -c %a /var/lib/updraft/identity.json").await;
    assert_eq!(record, "600\n");
}

#[tokio::test]
async fn telling_it_again_changes_nothing_and_another_address_replaces_the_old_one() {
    let machine = Machine::start().await;
    machine.identify(&identity()).await;
    let state = "find /etc /home /var/lib/updraft -newermt @0 -type f -printf '%p %i %T@\\n' | sort; \
                 ip -4 addr show dev card0; ip route; hostname";
    let before = machine.shell(state).await;
    let keys = machine.observe().await.host_keys;
    machine.identify(&identity()).await;
    assert_eq!(machine.shell(state).await, before);

    let mut moved = identity();
    moved.digest = "d2".to_owned();
    moved.hostname = "worker-9".to_owned();
    moved.interfaces[0].address = "10.77.0.19/24".to_owned();
    machine.identify(&moved).await;
    let addresses = machine.shell("ip -4 -o addr show dev card0").await;
    assert!(addresses.contains("10.77.0.19/24"), "{addresses}");
    assert!(!addresses.contains("10.77.0.11"), "{addresses}");
    assert!(machine.shell("ip route show default").await.contains("via 10.77.0.1"));
    assert_eq!(machine.shell("hostname").await, "worker-9\n");
    assert_eq!(machine.observe().await.host_keys, keys, "a host key must stay");
    assert_eq!(machine.session.peer().machine, None, "it was nobody when we met");
}

#[tokio::test]
async fn a_look_at_a_machine_takes_less_than_five_milliseconds() {
    let machine = Machine::start().await;
    machine.identify(&identity()).await;
    let mut best = Duration::MAX;
    for _ in 0..20 {
        let start = tokio::time::Instant::now();
        machine.observe().await;
        best = best.min(start.elapsed());
    }
    assert!(best < Duration::from_millis(5), "{best:?}");
}
