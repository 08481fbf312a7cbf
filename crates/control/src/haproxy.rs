//! HAProxy as the balancer of a service: its configuration, and its runtime socket's words.
//!
//! Pure text in, text out. Updraft owns one file per service in [`CONFIG_DIR`]; the distribution's
//! own `haproxy.cfg` stays as it is and provides the defaults and the runtime socket.
//! Sources: HAProxy 2.6 configuration manual (http-check, default-server, retry-on, fd-hard-limit)
//! and management guide (show info, show stat, set server).

use std::fmt::Write as _;
use updraft_base::{ByteSize, MachineName, ServiceName};
use updraft_plan::BalancerMember;
use updraft_site::{Balancer, Probe, Test};

/// Folder of our configuration files on a balancer.
pub(crate) const CONFIG_DIR: &str = "/etc/haproxy/updraft.d";

/// File that tells Debian's unit which more files to read.
pub(crate) const DEFAULTS_FILE: &str = "/etc/default/haproxy";

/// Line in [`DEFAULTS_FILE`] that makes HAProxy read [`CONFIG_DIR`]. The master's socket is what
/// Debian's unit has in this variable by itself.
pub(crate) const DEFAULTS_LINE: &str =
    "EXTRAOPTS=\"-S /run/haproxy-master.sock -f /etc/haproxy/updraft.d\"";

/// Runtime socket, as Debian's `haproxy.cfg` sets it up.
pub(crate) const SOCKET: &str = "/run/haproxy/admin.sock";

/// The distribution's configuration, which is the owner's to change.
pub(crate) const OWNERS_CONFIG: &str = "/etc/haproxy/haproxy.cfg";

/// Its own look at that and at more files that follow.
pub(crate) const CHECK: &str = "haproxy -c -f /etc/haproxy/haproxy.cfg";

/// What HAProxy may take of its machine. No service has a name like that.
pub(crate) const LIMITS_FILE: &str = "/etc/haproxy/updraft.d/_limits.cfg";

/// Memory for one file descriptor: a connection has two of them and two buffers of 16 KiB
/// (`tune.bufsize`).
const BYTES_PER_DESCRIPTOR: u64 = 16 << 10;

/// The first HAProxy that knows `fd-hard-limit`.
const KNOWS_LIMIT: (u32, u32) = (2, 6);

/// Words by which an owner says how many connections there may be.
const OWNERS_LIMITS: &[&str] = &["maxconn", "ulimit-n", "fd-hard-limit"];

/// What HAProxy may take of a machine with so much memory; `None` where its owner said so, or where
/// it cannot be told. By itself it sets up every descriptor that systemd allows it, half a million:
/// a fifth of a small machine's memory, and half of the time that it takes to start.
pub(crate) fn limits(info: &str, owners: &str, memory: ByteSize) -> Option<String> {
    let mut words = owners.lines().filter_map(|line| line.split_whitespace().next());
    if words.any(|word| OWNERS_LIMITS.contains(&word)) || version(info)? < KNOWS_LIMIT {
        return None;
    }
    Some(format!("{MANAGED}\nglobal\n    fd-hard-limit {}\n", descriptors(memory)))
}

/// File descriptors that a machine with so much memory can hold.
pub(crate) fn descriptors(memory: ByteSize) -> u64 {
    memory.as_bytes() / BYTES_PER_DESCRIPTOR
}

/// Reads the version in the answer to [`show_info`].
fn version(info: &str) -> Option<(u32, u32)> {
    let text = info.lines().find_map(|line| line.strip_prefix("Version: "))?;
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Head of each of our files.
const MANAGED: &str = "# Managed by Updraft: changes made here are lost.";

/// Path of a service's configuration.
pub(crate) fn config_path(service: &ServiceName) -> String {
    format!("{CONFIG_DIR}/{service}.cfg")
}

fn backend(service: &ServiceName) -> String {
    format!("updraft-{service}")
}

/// The configuration of one service's balancer.
pub(crate) fn render(
    service: &ServiceName,
    balancer: &Balancer,
    test: Option<&Test>,
    members: &[BalancerMember],
) -> String {
    let http = matches!(test, Some(Test { probe: Probe::Http { .. }, .. }));
    let mode = if http { "http" } else { "tcp" };
    let name = backend(service);
    let mut text = String::new();
    let mut line = |line: &str| writeln!(text, "{line}").expect("a string takes all text");
    line(MANAGED);
    line(&format!("frontend {name}"));
    line(&format!("    mode {mode}"));
    line(&format!("    bind :{}", balancer.listen));
    line(&format!("    default_backend {name}"));
    line("");
    line(&format!("backend {name}"));
    line(&format!("    mode {mode}"));
    line("    balance roundrobin");
    if let Some(Test { probe: Probe::Http { path, expect, status, .. }, .. }) = test {
        line("    option httpchk");
        line(&format!("    http-check send meth GET uri {}", quote(path)));
        match expect {
            Some(expect) => line(&format!("    http-check expect string {}", quote(expect))),
            None => line(&format!("    http-check expect status {status}")),
        }
        // A request that never reached a server, or got nothing back, goes to another one.
        line("    option redispatch 1");
        line("    retries 3");
        line("    retry-on conn-failure empty-response");
    }
    // A member is out after two failed checks and back after one good one: rolling waits for it
    // to be back before the next member is drained.
    line("    default-server check inter 500ms fall 2 rise 1");
    for member in members {
        line(&format!("    server {} {}:{}", member.machine, member.address, balancer.port));
    }
    text
}

/// A word for HAProxy's configuration: in strong quotes, where only `'` itself is special.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Asks who it is.
pub(crate) fn show_info() -> String {
    "show info\n".to_owned()
}

/// Asks for everything that it serves.
pub(crate) fn show_all() -> String {
    "show stat\n".to_owned()
}

/// Whether the answer to [`show_all`] has nothing in it that anybody could use.
pub(crate) fn serves_nothing(text: &str) -> bool {
    text.starts_with("# ") && text.lines().skip(1).all(|line| line.trim().is_empty())
}

/// Asks for every server's state.
pub(crate) fn show_stat() -> String {
    "show stat -1 4 -1\n".to_owned()
}

/// Takes a member out of service, letting what is open end.
pub(crate) fn set_drain(service: &ServiceName, machine: &MachineName) -> String {
    format!("set server {}/{machine} state drain\n", backend(service))
}

/// Puts a member back into service.
pub(crate) fn set_ready(service: &ServiceName, machine: &MachineName) -> String {
    format!("set server {}/{machine} state ready\n", backend(service))
}

/// How the balancer sees one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberState {
    /// Machine.
    pub machine: String,
    /// Connections and requests open right now.
    pub open: u64,
    /// HAProxy's word: `UP`, `DOWN`, `DRAIN`, `MAINT`, `no check`, `UP 1/2`, ….
    pub status: String,
}

impl MemberState {
    /// It gets new requests.
    pub(crate) fn serves(&self) -> bool {
        self.status.starts_with("UP") || self.status == "no check"
    }
}

/// Reads the answer to [`show_stat`]: the members of one service. Columns are found by the names
/// in the header line, so a newer HAProxy with more columns reads the same.
pub(crate) fn parse_stat(service: &ServiceName, text: &str) -> Vec<MemberState> {
    let mut lines = text.lines();
    let Some(header) = lines.find(|line| line.starts_with("# ")) else { return Vec::new() };
    let columns: Vec<&str> = header.trim_start_matches("# ").split(',').collect();
    let column = |name: &str| columns.iter().position(|column| *column == name);
    let (Some(proxy), Some(server), Some(current), Some(status)) =
        (column("pxname"), column("svname"), column("scur"), column("status"))
    else {
        return Vec::new();
    };
    let name = backend(service);
    lines
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let machine = *fields.get(server)?;
            (fields.get(proxy) == Some(&name.as_str()) && machine != "BACKEND").then(|| {
                MemberState {
                    machine: machine.to_owned(),
                    open: fields.get(current).and_then(|open| open.parse().ok()).unwrap_or(0),
                    status: fields.get(status).copied().unwrap_or_default().to_owned(),
                }
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn members() -> Vec<BalancerMember> {
        (1..=2)
            .map(|n| BalancerMember {
                machine: format!("worker-{n}").parse().unwrap(),
                address: format!("10.77.0.1{n}").parse().unwrap(),
            })
            .collect()
    }

    #[test]
    fn a_configuration_names_members_and_their_test() {
        let balancer = Balancer {
            on: "balancer".parse().unwrap(),
            listen: 80,
            port: 8080,
            drain: Duration::from_secs(10),
        };
        let test = Test {
            probe: Probe::Http {
                port: 8080,
                path: "/health".to_owned(),
                expect: Some("it's ok".to_owned()),
                status: 200,
            },
            within: Duration::from_secs(60),
            every: Duration::from_millis(500),
        };
        let text = render(&"hello".parse().unwrap(), &balancer, Some(&test), &members());
        assert_eq!(
            text,
            "# Managed by Updraft: changes made here are lost.\n\
             frontend updraft-hello\n    mode http\n    bind :80\n    default_backend updraft-hello\n\
             \n\
             backend updraft-hello\n    mode http\n    balance roundrobin\n    option httpchk\n    \
             http-check send meth GET uri '/health'\n    http-check expect string 'it'\\''s ok'\n    \
             option redispatch 1\n    retries 3\n    retry-on conn-failure empty-response\n    \
             default-server check inter 500ms fall 2 rise 1\n    \
             server worker-1 10.77.0.11:8080\n    server worker-2 10.77.0.12:8080\n"
        );
        let plain = render(&"hello".parse().unwrap(), &balancer, None, &members());
        assert!(plain.contains("mode tcp") && !plain.contains("httpchk"), "{plain}");
    }

    #[test]
    fn a_machine_gives_what_its_memory_can_hold_unless_its_owner_said_so() {
        let info = "Name: HAProxy\nVersion: 2.6.12-1+deb12u2\nRelease_date: 2023/12/16\n";
        let owners = "global\n    log /dev/log local0\ndefaults\n    timeout client 5s\n";
        let memory = ByteSize::mib(256);
        let text = limits(info, owners, memory).unwrap();
        assert!(text.ends_with("\nglobal\n    fd-hard-limit 16384\n"), "{text}");
        assert_eq!(limits(info, &format!("{owners}global\n\tmaxconn 9\n"), memory), None);
        assert_eq!(limits("Version: 2.4.22\n", owners, memory), None);
        assert_eq!(limits("Unknown command.\n", owners, memory), None);
        assert!(limits("Version: 3.0.11\n", owners, memory).is_some());
    }

    #[test]
    fn an_answer_without_a_line_serves_nothing() {
        assert!(serves_nothing("# pxname,svname,qcur,\n\n"));
        assert!(!serves_nothing("# pxname,svname,qcur,\nshop,FRONTEND,,\n\n"));
        assert!(!serves_nothing("Permission denied\n"));
    }

    #[test]
    fn states_are_read_by_the_names_of_columns() {
        let text = "# pxname,svname,qcur,scur,status,\n\
                    updraft-hello,worker-1,0,3,DRAIN,\n\
                    updraft-hello,worker-2,0,0,UP 1/2,\n\
                    updraft-hello,BACKEND,0,3,UP,\n\
                    other,worker-1,0,9,DOWN,\n";
        let states = parse_stat(&"hello".parse().unwrap(), text);
        assert_eq!(states.len(), 2);
        assert_eq!((states[0].open, states[0].serves()), (3, false));
        assert!(states[1].serves());
        assert_eq!(parse_stat(&"hello".parse().unwrap(), "Unknown command."), []);
    }
}
